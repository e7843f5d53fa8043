"""How fast a search finds its recipe, beside plain Optuna, Ray Tune's own OptunaSearch with ASHA, and Keras Tuner.

    python benchmarks/search_speed.py                        # Keras Tuner runs in .venv-bench, made by `make bench`
    python benchmarks/search_speed.py --peers optuna ray     # without it
    python benchmarks/search_speed.py --trials 4 --seeds 1   # a quick look
    python benchmarks/search_speed.py --overhead             # of Assay alone: trials of an epoch, how long none trains

The same trials of at most the same epochs over the same space (activation, learning rate, L2, dropout, batch size,
optimizer) of the small digits network, on 3,500 digits and 750 to validate; whoever takes a first point is given the
same one. Every contender is a process of its own, run in turn; its seconds are those of the whole process, imports and
all. Peers train as their documentation shows it. Printed: wall seconds, the ratio to the best peer of the same round,
the best validation accuracy, the epochs trained. With --overhead: the share of the workers' time, from each one's first
trial to the end of its last, in which it did not train.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from train_speed import BENCH_PYTHON, HERE, write_digits

PEERS = {
    "optuna": ("Optuna, MedianPruner", [sys.executable, str(HERE / "peers/optuna_search.py")]),
    "ray": ("Ray Tune, OptunaSearch + ASHA", [sys.executable, str(HERE / "peers/ray_search.py")]),
    "keras": ("Keras Tuner", [str(BENCH_PYTHON), str(HERE / "peers/keras_tuner_search.py")]),
}
OURS = "Assay"
SHORT_TRIALS = 60  # of one epoch, about two seconds each on a core


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trials", type=int, default=16)
    options.add_argument("--epochs", type=int, default=8)
    options.add_argument("--seeds", type=int, default=3, help="rounds, each with its own seed")
    options.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    options.add_argument("--precision", default="fp32", help="of Assay; the peers compute in fp32")
    options.add_argument("--overhead", action="store_true")
    chosen = options.parse_args()
    if chosen.overhead:
        chosen.peers, chosen.trials, chosen.epochs, chosen.seeds = [], SHORT_TRIALS, 1, 1
    contenders = dict(PEERS[name] for name in chosen.peers)
    contenders[OURS] = [sys.executable, str(HERE / "peers/assay_search.py"), "--precision", chosen.precision]
    with tempfile.TemporaryDirectory() as folder:
        digits = write_digits(Path(folder) / "digits.npz")
        common = ["--digits", str(digits), "--trials", str(chosen.trials), "--epochs", str(chosen.epochs)]
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for seed in range(chosen.seeds):
            for name, command in contenders.items():
                found[name].append(run([*command, *common, "--seed", str(seed)]))
                print(f"seed {seed}: {name}: {told(found[name][-1])}", flush=True)
    print_table(found, chosen.trials, chosen.epochs)
    if chosen.overhead:
        [row] = found[OURS]
        print(f"not training: {row['beside']:.1%} of the workers' time, at trials of {row['trial']:.1f} s")


def run(command: list[str]) -> dict[str, Any]:
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result | {"seconds": seconds}


def told(row: dict[str, Any]) -> str:
    parts = "".join(f", {name} {seconds:.1f} s" for name, seconds in row.get("parts", {}).items())
    return f"{row['seconds']:.1f} s, best {row['best']:.4f}, {row['epochs']} epochs{parts}"


def print_table(found: dict[str, list[dict[str, Any]]], trials: int, epochs: int) -> None:
    peers = [name for name in found if name != OURS]
    print(f"\n{platform.platform()}, {os.cpu_count()} cores; {trials} trials of at most {epochs} epochs")
    print(f"{'':32}{'seconds':>9}{'to best peer':>14}{'accuracy':>10}{'epochs':>8}")
    for name, rows in found.items():
        ratio = "" if name != OURS or not peers else f"{ratio_to_best(found, peers):.2f}"
        seconds, best, trained = (statistics.mean(row[key] for row in rows) for key in ("seconds", "best", "epochs"))
        print(f"{name:32}{seconds:9.1f}{ratio:>14}{best:10.4f}{trained:8.0f}")


def ratio_to_best(found: dict[str, list[dict[str, Any]]], peers: list[str]) -> float:
    """How many times faster than the fastest peer of the same round, the median of the rounds."""
    rounds = range(len(found[OURS]))
    ratios = [min(found[peer][n]["seconds"] for peer in peers) / found[OURS][n]["seconds"] for n in rounds]
    return float(statistics.median(ratios))


if __name__ == "__main__":
    main()
