"""Who wins beyond luck: the best of a search run again on fresh seeds, by halving. Owns who runs and the verdict; runs
nothing, stores nothing, and knows neither Ray nor Optuna.

The best of 100 noisy scores overstates itself by about two standard deviations of the seed; so the search's scores name
the finalists and count no further. The caller makes `Finals`, tells it what its store holds, and then, until `done`,
trains what is `wanted`: trial `number` with its recipe's seed replaced by the fresh one of that index, the same for all
and unlike the search's own; on small data with that index's own split of training and validation too. It stores each
result under (number, index), tells it, and at the end keeps the verdict's winner, or the base recipe where it is
preferred and the winner not `shown` to be better. All here follows from the results, in whatever order they come: a
search that was killed here goes on.

Halving: Karnin, Koren and Somekh (ICML 2013); Jamieson and Talwalkar (2015, arXiv:1502.07943). The winner's curse:
Cawley and Talbot (2010, JMLR 11). Common seeds: Bouthillier et al. (2021, arXiv:2103.03098). How values are judged:
shrinkage.py.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.errors import InputError
from assay.intervals import DIGITS, Interval
from assay.shrinkage import Effects, effects_of

Run = tuple[int, int]  # a trial's number, a seed's index from 0

# Rounds: places, one of them the base recipe's, and new seeds. The last is 3 × 2 and not 2 × 3, of equal cost: the base
# recipe keeps its place to the end, and the winner of the others is not settled before.
PLANS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "off": (),
    "small": ((8, 1), (4, 2), (3, 2)),  # 22 runs at most
    "full": ((16, 2), (8, 4), (4, 8)),  # 96
}


@dataclass(frozen=True)
class Standing:
    """A finalist at the end."""

    number: int
    score: float  # expected on fresh seeds
    searched: float | None  # what the search said; None where it has no end there
    overstated: float | None  # by how much that was too good; negative: too bad
    num_seeds: int


@dataclass(frozen=True)
class Verdict:
    """Who won. Whatever is better by is positive, also where smaller values are better."""

    winner: Standing
    runner_up: Standing | None  # the next best; the best other one where the base recipe wins
    base: Standing | None  # None: it failed
    over_base: Interval | None  # by how much the winner is better; None: it is the base recipe, or that failed
    over_runner_up: Interval | None
    p_better: float | None  # that the winner is better than the base recipe
    seed_sd: float | None  # of a run's value around its recipe's and its seed's; None: nothing to compare
    num_runs: int  # those that failed too
    failed: tuple[int, ...]
    confidence: float

    @property
    def shown(self) -> bool:
        """Whether the winner is shown to be better than the base recipe."""
        return self.over_base is not None and self.over_base.low > 0


class Finals:
    """The finals of one search: what is wanted next, and who wins, from what was told.

    Args:
        plan: a key of `PLANS`, not off.
        scores: number → the search's score, of the trials that came to their end.
        sign: 1 where larger is better, -1 where smaller is.
        base: always a finalist, whatever its score, and in every round.
    """

    def __init__(self, plan: str, scores: Mapping[int, float], sign: int, base: int) -> None:
        self._plan, self._scores, self._sign, self._base = PLANS[plan], dict(scores), sign, base
        assert self._plan, "finals that are off have nothing to decide"
        ranked = sorted(scores.keys() - {base}, key=lambda number: (-sign * scores[number], number))
        self.finalists = [base, *ranked[: self._plan[0][0] - 1]]
        self._told: dict[Run, float | None] = {}  # larger is better; None: it failed

    @property
    def left(self) -> int:
        """Runs that are still to be told of, at most."""
        return sum(min(places, len(self.finalists)) * count for places, count in self._plan) - len(self._told)

    def tell(self, number: int, seed: int, value: float | None) -> None:
        """A run's value; None, or one that is not finite, where it failed."""
        assert number in self.finalists, f"trial {number} is no finalist"
        assert (number, seed) not in self._told, f"trial {number} was told of seed {seed} before"
        self._told[number, seed] = self._sign * value if value is not None and math.isfinite(value) else None

    def tell_known(self, known: Mapping[Run, float | None]) -> None:
        """Tell what is wanted of `known`, and what that makes wanted; other runs in it count for nothing."""
        while fresh := [run for run in self.wanted() if run in known]:
            for run in fresh:
                self.tell(*run, known[run])

    def wanted(self) -> list[Run]:
        """The runs to be told of now, those that are running included; none where all is `done`."""
        entered, seeds = self._rounds()[-1]
        return self._open(entered, seeds)

    @property
    def told(self) -> dict[Run, float | None]:
        """What every run gave, in the search's own sign; None: it failed."""
        return {run: None if value is None else self._sign * value for run, value in sorted(self._told.items())}

    @property
    def leading(self) -> Run | None:
        """Who is best so far, by the mean on the seeds that all who are left have seen, and how many those are; while
        there are none, on the first seed alone. None: nobody has run."""
        entered, seeds = self._rounds()[-1]
        common = seeds.stop if self.done else max(1, seeds.start)
        seen = [number for number in entered if len(self._values(number, common)) == common]
        ranked = self._ranked(seen, range(common))
        return (ranked[0], common) if ranked else None

    def mean(self, number: int, seeds: int) -> float:
        """Of a finalist on the first `seeds` seeds, in the search's own sign."""
        return self._sign * self._mean(number, seeds)

    @property
    def done(self) -> bool:
        """Whether the verdict stands."""
        return not self.wanted()

    def verdict(self, confidence: float) -> Verdict:
        """Who won, when it is `done`; `confidence` is of every interval.

        Raises:
            InputError: every finalist failed.
        """
        assert self.done, "runs are wanted yet"
        rounds = self._rounds()
        left = self._ranked(*rounds[-1])
        if not left:
            raise InputError("search: every finalist failed when it was run again; search.finals: off does without.")
        effects = self._effects(rounds) if len(left) > 1 else None
        best, *others = [number for number in left if number != self._base] or [self._base]
        if self._base in left and best != self._base:
            assert effects is not None
            ahead = effects.lead(best, self._base, confidence).value > 0
            best, others = (best, [*others, self._base]) if ahead else (self._base, [best])
        return self._told_of(best, others[0] if others else None, self._base in left, effects, confidence)

    def _rounds(self) -> list[tuple[list[int], range]]:
        """Who entered each round that has begun, and its seeds. A failure counts in its round and not before, so that
        it opens no place that was taken: the budget holds."""
        entered, first = self.finalists, 0
        rounds: list[tuple[list[int], range]] = []
        for places, count in self._plan:
            if rounds and self._open(*rounds[-1]):
                break
            left = self._ranked(*rounds[-1]) if rounds else entered
            others = [number for number in left if number != self._base]
            base = [self._base] if self._base in left else []
            entered = base + others[: places - len(base)]
            rounds.append((entered, range(first, first + count)))
            first += count
        return rounds

    def _open(self, entered: list[int], seeds: range) -> list[Run]:
        fine = [number for number in entered if not self._has_failed(number, seeds)]
        return [(number, seed) for seed in seeds for number in fine if (number, seed) not in self._told]

    def _has_failed(self, number: int, seeds: range) -> bool:
        return any(self._told.get((number, seed), 0.0) is None for seed in seeds)

    def _ranked(self, entered: list[int], seeds: range) -> list[int]:
        """Who is left of a round, by the mean of all seeds up to its end; of equals the search's order counts."""
        fine = [number for number in entered if not self._has_failed(number, seeds)]
        return sorted(fine, key=lambda number: (-self._mean(number, seeds.stop), self.finalists.index(number)))

    def _values(self, number: int, stop: int) -> list[float]:
        found = (self._told.get((number, seed)) for seed in range(stop))
        return [value for value in found if value is not None]

    def _mean(self, number: int, stop: int) -> float:
        values = self._values(number, stop)
        return math.fsum(values) / len(values)

    def _effects(self, rounds: list[tuple[list[int], range]]) -> Effects:
        """Of all that ran and did not fail, the dropped ones too: what they say of the spread is what makes the
        winner's score honest."""
        fallen = {number for entered, seeds in rounds for number in entered if self._has_failed(number, seeds)}
        used: dict[Run, float] = {}
        for entered, seeds in rounds:
            for number in set(entered) - fallen:
                for seed in seeds:
                    value = self._told[number, seed]
                    assert value is not None
                    used[number, seed] = value
        return effects_of(used, None if self._base in fallen else self._base)

    def _told_of(
        self, best: int, second: int | None, has_base: bool, effects: Effects | None, confidence: float
    ) -> Verdict:
        beats_base = has_base and best != self._base and effects is not None
        return Verdict(
            winner=self._standing(best, effects),
            runner_up=None if second is None else self._standing(second, effects),
            base=self._standing(self._base, effects) if has_base else None,
            over_base=effects.lead(best, self._base, confidence) if beats_base and effects else None,
            over_runner_up=effects.lead(best, second, confidence) if effects and second is not None else None,
            p_better=effects.chance(best, self._base) if beats_base and effects else None,
            seed_sd=None if effects is None else effects.noise,
            num_runs=len(self._told),
            failed=tuple(sorted({number for (number, _), value in self._told.items() if value is None})),
            confidence=confidence,
        )

    def _standing(self, number: int, effects: Effects | None) -> Standing:
        stop = sum(count for _, count in self._plan)
        score = self._mean(number, stop) if effects is None else effects.score(number)
        searched = self._scores.get(number)
        flattered = None if searched is None else self._sign * searched - score
        return Standing(number, self._sign * score, searched, flattered, len(self._values(number, stop)))


def report_of(verdict: Verdict) -> dict[str, Any]:
    """The finals' part of report.json."""
    return {
        "said": said(verdict),
        "shown_better": verdict.shown,
        "p_better_than_base": _rounded(verdict.p_better),
        "better_than_base_by": None if verdict.over_base is None else verdict.over_base.rounded(),
        "better_than_runner_up_by": None if verdict.over_runner_up is None else verdict.over_runner_up.rounded(),
        "confidence": verdict.confidence,
        "winner": _shown(verdict.winner),
        "runner_up": _shown(verdict.runner_up),
        "base": _shown(verdict.base),
        "seed_sd": _rounded(verdict.seed_sd),
        "runs": verdict.num_runs,
        "failed": list(verdict.failed),
    }


def said(verdict: Verdict) -> str:
    """What a person reads of it, in two or three sentences."""
    return " ".join(filter(None, [_said_of_base(verdict), _said_of_score(verdict)]))


def said_beside(verdict: Verdict) -> str:
    """How sure it is that the winner is better, than the base recipe and than the runner-up; empty: it met nobody."""
    told = []
    if verdict.p_better is not None:
        told.append(f"better than the base recipe with a probability of {verdict.p_better:.1%}")
    if verdict.runner_up is not None and verdict.over_runner_up is not None:
        by = verdict.over_runner_up
        interval = f"{verdict.confidence:.0%} interval {by.low:+.4g} to {by.high:+.4g}"
        told.append(f"better than the runner-up, trial {verdict.runner_up.number}, by {by.value:.4g} ({interval})")
    return f"The winner is {' and '.join(told)}." if told else ""


def _said_of_base(verdict: Verdict) -> str:
    who = f"Trial {verdict.winner.number}"
    if verdict.base is None:
        return f"{who} wins, but the base recipe failed when it was run again: whether it is better is not known."
    if verdict.over_base is None:
        return "No other trial is better than the base recipe, so that wins."
    by, seeds = verdict.over_base, verdict.winner.num_seeds
    sure = f"{verdict.confidence:.0%} interval {by.low:+.4g} to {by.high:+.4g}, {seeds} fresh seeds each"
    if verdict.shown:
        return f"{who} is better than the base recipe by {by.value:.4g} ({sure})."
    return f"{who} is NOT shown to be better than the base recipe: better by {by.value:.4g}, but {sure}."


def _said_of_score(verdict: Verdict) -> str:
    winner = verdict.winner
    score = f"It is worth {winner.score:.4g}"
    if winner.searched is None or winner.overstated is None:
        return f"{score}."
    way = "too good" if winner.overstated >= 0 else "too bad"
    return f"{score}; the search said {winner.searched:.4g}, {abs(winner.overstated):.2g} {way}."


def _shown(one: Standing | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {name: _rounded(value) if isinstance(value, float) else value for name, value in vars(one).items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS) + 0.0
