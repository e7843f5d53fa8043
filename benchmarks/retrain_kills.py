"""What `assay retrain` loses where it is killed at a random moment and started again: nothing.

    python benchmarks/retrain_kills.py               # 20 moments, ten minutes on two cores
    python benchmarks/retrain_kills.py --seed 5      # other moments

A project with a champion gets new samples. One retraining runs undisturbed. Then, again and again from the same
beginning, it is hit by kill -9 at a moment that is drawn evenly over that time, and the same command is typed until it
ends well. All the while the registry is looked at. Counted: moments at which there was not exactly one champion, looks
at which a decision that had been seen was gone, decisions that are missing or there twice beside the undisturbed run's,
and steps of the account that are. The exit code is 1 where anything was counted.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from retraining import arrive, champions, copied, kinds, retraining, states, write_params

BEGUN, GROWN = 30, 60  # samples a class
ENDED = (0, 10, 11)  # exit codes of a retraining that did what there was to do
STARTS, LONGEST_S, LOOK_S = 6, 600, 0.01


@dataclass
class Watch:
    """Looks at the registry while a block runs."""

    root: Path
    looks: int = 0
    headless: int = 0
    shrunk: int = 0
    seen: list[str] = field(default_factory=list)

    def look(self) -> None:
        self.looks += 1
        self.headless += len(champions(self.root)) != 1
        now = kinds(self.root)
        self.shrunk += now[: len(self.seen)] != self.seen
        self.seen = now

    @contextmanager
    def looking(self) -> Iterator[None]:
        over = threading.Event()

        def watch() -> None:
            while not over.wait(LOOK_S):
                self.look()

        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(watch)
            try:
                yield
            finally:
                over.set()
            watching.result()


@dataclass(frozen=True)
class Reference:
    """What a retraining does where nothing happens, and how long it takes."""

    kinds: list[str]
    states: list[str]
    seconds: float


@dataclass(frozen=True)
class Found:
    """What a moment cost."""

    at: float
    starts: int
    watch: Watch
    decisions: bool  # as in the undisturbed run
    steps: bool

    @property
    def fine(self) -> bool:
        return self.decisions and self.steps and not self.watch.headless and not self.watch.shrunk

    def __str__(self) -> str:
        words = {True: "equal", False: "NOT equal"}
        one = f"{self.watch.headless} of {self.watch.looks} looks without exactly one champion"
        return (
            f"after {self.at:.1f} s, {self.starts} starts: {one}, {self.watch.shrunk} with a decision gone; "
            f"decisions {words[self.decisions]}, steps {words[self.steps]}"
        )


def begun(root: Path) -> Path:
    root.mkdir()
    write_params(root)
    arrive(root, 0, BEGUN)
    to_its_end(root)
    return root


def to_its_end(root: Path) -> int:
    """Type the command until it ends well; how often that took."""
    for start in range(1, STARTS):
        process = retraining(root)
        said, _ = process.communicate(timeout=LONGEST_S)
        if process.returncode in ENDED:
            return start
    raise RuntimeError(f"it does not end well:\n{said}")


def moment(root: Path, at: float, reference: Reference) -> Found:
    arrive(root, BEGUN, GROWN)
    watch = Watch(root)
    with watch.looking():
        process = retraining(root)
        with suppress(subprocess.TimeoutExpired):
            process.wait(at)
        process.kill()
        process.communicate()
        starts = 1 + to_its_end(root)
    done = [state for state in states(root) if state != "nothing new"]
    return Found(at, starts, watch, kinds(root) == reference.kinds, done == reference.states)


def undisturbed(root: Path) -> Reference:
    arrive(root, BEGUN, GROWN)
    began = time.monotonic()
    to_its_end(root)
    return Reference(kinds(root), states(root), time.monotonic() - began)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--moments", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    luck, found = random.Random(chosen.seed), []
    with tempfile.TemporaryDirectory(prefix="retrain-") as place:
        project = begun(Path(place) / "begun")
        reference = undisturbed(copied(project, Path(place) / "undisturbed"))
        print(f"undisturbed: {reference.seconds:.1f} s, {', '.join(reference.kinds)}; seed {chosen.seed}", flush=True)
        for number in range(chosen.moments):
            at = luck.uniform(0, reference.seconds)
            found.append(moment(copied(project, Path(place) / str(number)), at, reference))
            print(f"{number}: {found[-1]}", flush=True)
    print(f"\n{sum(each.fine for each in found)} of {len(found)} moments cost nothing")
    sys.exit(not all(each.fine for each in found))


if __name__ == "__main__":
    main()
