"""How good the finals' choice is, and how honest what they say of it, where the truth is known: a simulation.

    python benchmarks/finals_quality.py                    # under two minutes on one core
    python benchmarks/finals_quality.py --searches 4000    # for the second digit
    python benchmarks/finals_quality.py --scenarios ties flat

A search has 100 recipes, trial 0 the base recipe. A recipe's true value is in points, as of an accuracy in percent:
what it gives on the mean of all seeds. A run gives it plus noise; the noise's standard deviation is the seed sd, 0.2
points. The search sees each recipe once. Recipes lie below the best possible by an exponential distribution of mean 2
points, so that the best two of 100 are 0.02 apart, and the base recipe is better than three of four. A scenario says
what is otherwise in it.

Compared: arg max of the search (no run; it reports the search's score), the best 6 and the base recipe run on 3 seeds
each (21 runs; means and paired t intervals), and `Finals` of plan small (22 runs at most). Printed of each scenario:

    within   searches whose winner is within 0.2 points of the best of all 100                       bar ≥ 95%
    bias     reported score less the true one, in seed sds of the winner, on average                 bar ≤ 0.1
    cover    95% intervals of the best other recipe's lead over the base recipe that hold it         bar 93 to 97%
    rival    the same of the winner's lead over the runner-up                                        bar 93 to 97%
    worse    winner truly worse than the base recipe, by however little                              bar ≤ 2.5%
    shown    winner said to be shown better than the base recipe
    false    the same where it is not better
    kept     worse, where the base recipe is kept unless the winner is shown to be better            bar ≤ 2.5%

An asterisk misses the bar. `cover` asks for the lead where the base recipe wins, too: choosing would bend it. The form
of the model and its constants were chosen with an eye on all scenarios but `plateau` and `digits`, none for the sake of
one; those two were added when it stood.
"""

import argparse
import math
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy.stats import t as student

from assay.finals import Finals
from assay.intervals import Interval

Floats = NDArray[np.float64]
RECIPES, TOLERANCE, CONFIDENCE, SEED_SD = 100, 0.2, 0.95, 0.2
TOP, SEEDS = 6, 3  # of the rerun without halving: with the base recipe 21 runs


@dataclass
class World:
    """One search's truth."""

    truth: Floats  # points, the base recipe first
    sd: Floats  # a recipe's seed sd
    common_sd: float = 0.0  # of what a seed does to all alike
    heavy: bool = False  # noise of Student's t with 3 degrees of freedom, scaled to its sd
    step: float = 0.0  # values are multiples of it; 0: of nothing

    def run(self, rng: np.random.Generator) -> Floats:
        """Every recipe on one seed."""
        drawn = rng.standard_t(3, RECIPES) / math.sqrt(3) if self.heavy else rng.standard_normal(RECIPES)
        values: Floats = self.truth + self.sd * drawn + self.common_sd * rng.standard_normal()
        return np.round(values / self.step) * self.step if self.step else values


@dataclass
class Said:
    """What a method says of one search."""

    winner: int
    score: float
    other: int  # the best that is not the base recipe
    over_base: Interval | None = None  # the other's lead over it
    runner_up: int | None = None
    over_runner_up: Interval | None = None

    @property
    def shown(self) -> bool:
        return self.over_base is not None and self.over_base.low > 0


def world(
    rng: np.random.Generator,
    base: float | None = None,
    sd: float = SEED_SD,
    common_sd: float = 0.0,
    heavy: bool = False,
) -> World:
    """Exponential gaps; `base` is the base recipe's lead over the best other, None its usual place."""
    truth = -rng.exponential(2.0, RECIPES)
    truth[0] = np.quantile(truth, 0.75) if base is None else truth[1:].max() + base
    return World(truth, np.full(RECIPES, sd), common_sd, heavy)


def clear(rng: np.random.Generator) -> World:
    found = world(rng)
    found.truth[1] = found.truth.max() + 1
    return found


def equal(_: np.random.Generator) -> World:
    return World(np.zeros(RECIPES), np.full(RECIPES, SEED_SD))


def flat(rng: np.random.Generator) -> World:
    return World(rng.normal(0, 0.1, RECIPES), np.full(RECIPES, SEED_SD))


def plateau(rng: np.random.Generator) -> World:
    found = world(rng)
    found.truth[1:11] = found.truth.max()
    return found


def uneven(rng: np.random.Generator) -> World:
    found = world(rng)
    found.sd = SEED_SD * np.exp(0.5 * rng.standard_normal(RECIPES))
    return found


SCENARIOS: dict[str, tuple[str, Callable[[np.random.Generator], World]]] = {
    "usual": ("nothing else said", world),
    "ties": ("seed sd 0.3: near ties at the top", lambda rng: world(rng, sd=0.3)),
    "quiet": ("seed sd 0.1", lambda rng: world(rng, sd=0.1)),
    "clear": ("one recipe 1 point above all", clear),
    "near": ("base recipe 0.3 below the best", lambda rng: world(rng, base=-0.3)),
    "base best": ("base recipe 0.3 above all", lambda rng: world(rng, base=0.3)),
    "base ties": ("base recipe equal to the best", lambda rng: world(rng, base=0.0)),
    "flat": ("all from a normal of sd 0.1, the base too", flat),
    "equal": ("all equal to the base recipe", equal),
    "uneven": ("a recipe's seed sd is 0.2 · exp(N(0, 0.5))", uneven),
    "common": ("a seed's effect on all alike, sd 0.4", lambda rng: world(rng, common_sd=0.4)),
    "plateau": ("ten recipes equal at the top", plateau),
    "digits": ("values in steps of 1/7.5 points, as of 750 samples", lambda rng: replace(world(rng), step=1 / 7.5)),
    "heavy": ("noise of t with 3 degrees of freedom", lambda rng: world(rng, heavy=True)),
}


def by_arg_max(searched: Floats, _: list[Floats]) -> Said:
    best = int(searched.argmax())
    return Said(best, float(searched[best]), best)


def by_rerun(searched: Floats, seeds: list[Floats]) -> Said:
    top = 1 + np.argsort(-searched[1:])[:TOP]
    values = np.array(seeds[:SEEDS])
    best, second = (int(one) for one in top[np.argsort(-values[:, top].mean(0))[:2]])
    over_base = paired(values[:, best] - values[:, 0])
    winner = best if over_base.value > 0 else 0
    runner_up = second if winner else best
    return Said(
        winner,
        float(values[:, winner].mean()),
        best,
        over_base,
        runner_up,
        paired(values[:, winner] - values[:, runner_up]),
    )


def paired(leads: Floats) -> Interval:
    value, error = float(leads.mean()), float(leads.std(ddof=1)) / math.sqrt(len(leads))
    half = float(student.ppf(0.5 + CONFIDENCE / 2, len(leads) - 1)) * error
    return Interval(value, value - half, value + half)


def by_finals(searched: Floats, seeds: list[Floats]) -> Said:
    finals = Finals("small", dict(enumerate(searched.tolist())), sign=1, base=0)
    while wanted := finals.wanted():
        for number, seed in wanted:
            finals.tell(number, seed, float(seeds[seed][number]))
    verdict = finals.verdict(CONFIDENCE)
    winner, runner_up = verdict.winner, verdict.runner_up
    assert runner_up is not None and verdict.over_runner_up is not None
    if verdict.over_base is not None:
        other, over_base = winner.number, verdict.over_base
    else:  # the base recipe wins: the other's lead over it, turned round
        lead = verdict.over_runner_up
        other, over_base = runner_up.number, Interval(-lead.value, -lead.high, -lead.low)
    return Said(winner.number, winner.score, other, over_base, runner_up.number, verdict.over_runner_up)


METHODS: dict[str, Callable[[Floats, list[Floats]], Said]] = {
    "arg max": by_arg_max,
    "rerun": by_rerun,
    "finals": by_finals,
}


def scored(world: World, said: Said) -> dict[str, float]:
    """One search's part in every column; NaN where it has none."""
    truth, base = world.truth, world.truth[0]
    kept = said.winner if said.shown else 0
    return {
        "within": float(truth.max() - truth[said.winner] <= TOLERANCE),
        "bias": float((said.score - truth[said.winner]) / world.sd[said.winner]),
        "cover": held(said.over_base, truth[said.other] - base),
        "rival": held(said.over_runner_up, truth[said.winner] - truth[said.runner_up or 0]),
        "worse": float(truth[said.winner] < base),
        "shown": float(said.shown),
        "false": float(said.shown and truth[said.winner] <= base),
        "kept": math.nan if said.over_base is None else float(truth[kept] < base),
    }


def held(interval: Interval | None, truth: float) -> float:
    return math.nan if interval is None else float(interval.low <= truth <= interval.high)


BARS: dict[str, tuple[float, float]] = {
    "within": (0.95, 1),
    "bias": (-0.1, 0.1),
    "cover": (0.93, 0.97),
    "rival": (0.93, 0.97),
    "worse": (0, 0.025),
    "kept": (0, 0.025),
}


def measured(name: str, searches: int, seed: int) -> dict[str, dict[str, float]]:
    """Method → column → mean over the searches; every method sees the same ones."""
    rows: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    for number in range(searches):
        rng = np.random.default_rng([seed, list(SCENARIOS).index(name), number])
        made = SCENARIOS[name][1](rng)
        searched, seeds = made.run(rng), [made.run(rng) for _ in range(6)]
        for method, judge in METHODS.items():
            rows[method].append(scored(made, judge(searched, seeds)))
    return {
        method: {column: float(np.mean([row[column] for row in each])) for column in each[0]}
        for method, each in rows.items()
    }


def print_rows(name: str, found: dict[str, dict[str, float]]) -> None:
    print(f"\n{name}: {SCENARIOS[name][0]}")
    for method, columns in found.items():
        print(f"  {method:10}" + "".join(f"{cell(column, value):>9}" for column, value in columns.items()), flush=True)


def cell(column: str, value: float) -> str:
    if math.isnan(value):
        return "– "
    low, high = BARS.get(column, (-math.inf, math.inf))
    shown = f"{value:.2f}" if column == "bias" else f"{value:.1%}"
    return shown + (" " if low <= value <= high else "*")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--searches", type=int, default=500, help="of each scenario")
    options.add_argument("--scenarios", nargs="*", default=list(SCENARIOS), choices=list(SCENARIOS))
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    print(f"{platform.machine()}, numpy {np.__version__}, scipy {scipy.__version__}; {chosen.searches} searches each")
    sure = math.sqrt(0.95 * 0.05 / chosen.searches)
    print(
        f"one standard error of a share near 95% is {sure:.1%}; of a bias about {0.6 / math.sqrt(chosen.searches):.2f}"
    )
    names = [*list(BARS)[:-1], "shown", "false", "kept"]
    print(f"\n{'':12}" + "".join(f"{column:>8} " for column in names))
    every = {}
    for name in chosen.scenarios:
        every[name] = measured(name, chosen.searches, chosen.seed)
        print_rows(name, every[name])
    print("\nmean of the scenarios")
    for method in METHODS:
        means = {column: float(np.mean([found[method][column] for found in every.values()])) for column in names}
        print(f"  {method:10}" + "".join(f"{cell(column, value):>9}" for column, value in means.items()))


if __name__ == "__main__":
    main()
