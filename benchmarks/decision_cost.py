"""What a decision costs a driver: milliseconds of ask, report, settle and show, in a study that holds many trials.

    python benchmarks/decision_cost.py [--trials 100 1000 10000] [--sampler auto] [--rounds 40]

The trials before are written into a journal, as a killed driver leaves it, and end as most do: two thirds after their
first epoch. Then some are driven by hand, two beside each other, over the space of a usual search of 12 parameters.
`open` is what a driver that goes on pays once; `draw` is one where nothing was prepared, `ask` with what was prepared
while trials trained; `read` and `write` are Optuna's own get_trial and create_new_trial. Printed: the median and the
worst of each.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

EPOCHS = 9
SPACE: dict[str, Any] = {
    "backbone": {"choices": ["cnn", "mlp", "resnet18"]},
    "activation": {"choices": ["relu", "gelu", "silu", "tanh"], "when": {"backbone": ["cnn", "mlp"]}},
    "dropout": {"low": 0.0, "high": 0.5},
    "label_smoothing": {"low": 0.0, "high": 0.2},
    "optimizer.name": {"choices": ["adam", "adamw", "nadam", "rmsprop"]},
    "optimizer.lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "optimizer.weight_decay": {"low": 1e-6, "high": 1e-1, "log": True},
    "schedule.name": {"choices": ["constant", "cosine", "one_cycle"]},
    "regularization.l2": {"low": 1e-8, "high": 1e-2, "log": True},
    "augmentation.strength": {"low": 0.5, "high": 1.5},
    "augmentation.mixup": {"low": 0.0, "high": 1.0},
    "batch_size": {"choices": [16, 32, 64, 128]},
}


class Clock:
    """Milliseconds of each kind of decision."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.spent[name].append(1000 * (time.perf_counter() - began))


def value_of(drawn: dict[str, Any], epoch: int) -> float:
    """A value that follows from what was drawn, with a peak and a curve."""
    rate, decay = np.log10(drawn.get("optimizer.lr", 1e-3)), np.log10(drawn.get("optimizer.weight_decay", 1e-3))
    worse = abs(rate + 2.5) / 4 + abs(decay + 3) / 10 + (drawn.get("backbone") == "mlp") / 5
    return float(1 - worse - 0.3 / epoch)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--trials", type=int, nargs="*", default=[100, 1000, 10_000])
    options.add_argument("--rounds", type=int, default=40, help="trials that are driven by hand")
    options.add_argument("--sampler", default="auto")
    options.add_argument("--storage", help="as search.storage; else a journal")
    chosen = options.parse_args()
    names = ("open", "read", "write", "draw", "ask", "report", "settle", "show")
    print("milliseconds, median (worst)")
    print("| trials before | " + " | ".join(names) + " |")
    print("|---|" + "---|" * len(names))
    for trials in chosen.trials:
        spent = measured(trials, chosen.rounds, chosen.sampler, chosen.storage).spent
        cells = [f"{median(spent[name]):.2f} ({max(spent[name]):.1f})" for name in names]
        print(f"| {trials} | " + " | ".join(cells) + " |", flush=True)


def measured(trials: int, rounds: int, sampler: str, storage: str | None) -> Clock:
    from assay.params import Params, Tracking
    from assay.search.course import Course
    from assay.search.study import Study
    from assay.terminal import Progress
    from assay.tracking import open_tracker

    class Quiet(Progress):
        def step(self, *_: Any, **__: Any) -> None:
            """Nothing: what a terminal takes is not the study's."""

    told = {"trials": trials + rounds, "sampler": sampler, "epochs": EPOCHS, "space": SPACE, "storage": storage}
    params, clock = Params.model_validate({"search": told}), Clock()
    with tempfile.TemporaryDirectory() as folder:
        where = (Path(folder), params.search, params.recipe, "accuracy", "max", "v")
        with Study(*where) as study:
            fill(study, trials)
        with clock.of("open"):
            study = Study(*where)
        with study, open_tracker(Tracking(), Path(folder), {}) as tracker:
            course = Course(study, tracker, tracker.start("s", kind="search"), Quiet("search", 1), 2)
            drive(study, course._show, clock, rounds)
            optuna(study, clock)
    return clock


def fill(study: Any, trials: int) -> None:
    """Trials that have ended, drawn at random."""
    from optuna.trial import TrialState, create_trial

    from assay.search.cube import Cube
    from assay.search.trial import NUMBER, SECONDS, STAY, STOPPED

    cube, rng = Cube(study.space), np.random.default_rng(0)
    for number in range(trials):
        drawn = cube.drawn(rng.random(len(cube.axes))) if number else study.space.of_base()
        stopped = (1, 1, 3)[number % 3] if number % 9 else None
        curve = {epoch: value_of(drawn, epoch) for epoch in range(1, (stopped or EPOCHS) + 1)}
        about = {NUMBER: number, SECONDS: 1.0, STAY: ["machine/1", 1.0, 2.0]} | ({STOPPED: stopped} if stopped else {})
        study._store.create_new_trial(
            study._study._study_id,
            create_trial(
                state=TrialState.PRUNED if stopped else TrialState.COMPLETE,
                value=None if stopped else max(curve.values()),
                params=drawn,
                distributions={name: study.space.distributions[name] for name in drawn},
                intermediate_values=curve,
                user_attrs=about,
            ),
        )


def drive(study: Any, show: Callable[[], None], clock: Clock, rounds: int) -> None:
    """`rounds` trials, two beside each other."""
    running: dict[int, tuple[Any, int]] = {}
    begun = 0
    while begun < rounds or running:
        while len(running) < 2 and begun < rounds and study.ready:
            begun += 1
            drawing, number = study._drawing, study._next
            with clock.of("draw"):
                sampler = drawing._sampler(number)
                sampler.draw(number, drawing.known(number))
            drawing.prepare(number)
            while not drawing.prepared:  # here a trial would train
                time.sleep(0.001)
            with clock.of("ask"):
                asked = study.ask()
            running[asked.number] = (asked.values, 0)
        for number, (values, epoch) in sorted(running.items()):
            with clock.of("report"):
                settled = study.report(number, epoch + 1, value_of(values, epoch + 1), 1.0, epoch + 1 == EPOCHS)
            running[number] = (values, epoch + 1)
            for each in settled:
                running.pop(each.number, None)
            if epoch + 1 == EPOCHS:
                running.pop(number, None)
            with clock.of("settle"):
                study.settle()
                study.check_failures()
            with clock.of("show"):
                show()


def optuna(study: Any, clock: Clock) -> None:
    """The store's own part."""
    from optuna.trial import TrialState, create_trial

    for _ in range(20):
        with clock.of("write"):
            key = study._store.create_new_trial(study._study._study_id, create_trial(state=TrialState.RUNNING))
        with clock.of("read"):
            study._store.get_trial(key)


if __name__ == "__main__":
    main()
