"""What to try next: which sampler draws a trial, and what it may know of those before it.

Both follow from the trial's number, the planned budget and what trials with smaller numbers reported, never from who
reported first. So a search ends the same with one worker and with two, on a busy machine and on an idle one, and where
it was killed and went on.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import takewhile
from threading import Lock
from typing import Any

from optuna.study import StudyDirection

from assay.params import Search
from assay.search.cube import Cube
from assay.search.earlier import First
from assay.search.evolution import CmaEs, Nsga2
from assay.search.front import traded
from assay.search.halving import rung_epochs
from assay.search.samplers import Gaussian, Given, Grid, Random, Sampler, Sobol, Tpe, expected_finals, generator
from assay.search.space import Space
from assay.search.trial import BASE_NUMBER, FAILED, PRUNED, RUNNING, Tried

STARTUP, FEWEST_STARTUP, PART = 10, 4, 5  # a start of a fifth of the budget, between these
SHORT, SHORT_STARTUP = 12, 8  # of a search of so few trials: a model makes little of four noisy points
TURNS_FROM = 30  # trials that TPE has to learn from; then what one model overlooks the other may see
PROOF = 10  # of so many trials one is drawn at random, against a model that has locked itself in
MOST_GAUSSIAN = 250  # trials that a Gaussian process is asked about; of more it takes too long, and knows no more
SLOWEST = 2  # times longer than others a trial's epoch may take, and nobody waits for it
LONGEST = 16  # first rungs' time: what began so long ago is waited for, however long it takes


@dataclass(frozen=True)
class Sight:
    """How much a trial that is drawn by a model knows of those before it.

    While one trial runs, the other workers begin others; so the further back one began, the more epochs it has had. Its
    first `epochs` are known, as many as it has had for certain where all are about equally fast. What that hides from a
    single worker is little: most trials are stopped at the first rung.
    """

    min_epochs: int
    reduction: int
    workers: int = 2  # one worker sees what two see, so that both find the same

    def epochs(self, back: int) -> float:
        """The epochs that are known of the trial that began `back` numbers before; inf: its end."""
        rungs = (back - 1) // (SLOWEST * max(1, self.workers - 1))
        return rungs * self.min_epochs if rungs < LONGEST else math.inf

    @property
    def blind(self) -> int:
        """What began more numbers before is known to its end."""
        return LONGEST * SLOWEST * max(1, self.workers - 1)

    def rung(self, epochs: float) -> int | None:
        """The last rung (see Halving) that is not beyond `epochs`."""
        return _last_rung(self.min_epochs, self.reduction, epochs)


class Drawing:
    """Draws trials. What is not known of one is handled as if it still ran: at the last rung it is known to have
    reached it counts like one that was stopped there.

    `auto` begins with points that leave no gap, goes on with a Gaussian process, later with that and TPE in turn, and
    with TPE alone where the first has become too large; one in ten is drawn at random. benchmarks/search_quality.py
    holds it against the others. `tried` gives a trial by its number; the points `first` come before all but the base
    recipe, trial 0.
    """

    def __init__(
        self,
        space: Space,
        search: Search,
        direction: StudyDirection,
        sight: Sight,
        tried: Callable[[int], Tried],
        first: Sequence[First] = (),
    ) -> None:
        self.sight, self._budget, self._tried = sight, search.trials, tried
        self._whole: list[Tried] = []  # the first trials, of which all is known to every later draw
        self._shown: dict[tuple[int, int | None], Tried] = {}  # number, rung → as it is seen, of those that are settled
        self._first = len(first)
        one_number = StudyDirection.MAXIMIZE if search.costs else direction
        self._samplers = _samplers(space, search, one_number, self.known, first)
        self._name, self._costs, self._seed = search.sampler, bool(search.costs), search.seed
        self._sign = 1 if direction == StudyDirection.MAXIMIZE else -1
        self._seeing = Lock()  # `known` is asked by this thread, and by the one that prepares
        self._pool = ThreadPoolExecutor(1, "draw")
        self._ahead: tuple[int, Sight, Future[dict[str, Any]]] | None = None

    def learns(self, number: int) -> bool:
        """Whether the draw of `number` looks at earlier trials."""
        return self._sampler(number).learns

    def most(self, trials: int) -> int:
        """How many of so many trials are drawn: `grid` ends with its last recipe, the others never do.

        Raises:
            InputError: no recipe of the grid keeps the constraints.
        """
        sampler = self._samplers.get(self._name)
        return sampler.most(trials) if isinstance(sampler, Grid) else trials

    def hands_over(self, number: int) -> bool:
        """Whether `number` is the first trial that `gp` leaves to TPE, since it has become too large."""
        return self._name == "gp" and number == max(MOST_GAUSSIAN, self._first) + 1

    def draw(self, number: int) -> dict[str, Any]:
        """A value of every parameter for trial `number`; what `sight` shows of those before it is there.

        Raises:
            InputError: no recipe keeps the constraints.
        """
        self.prepare(number)
        assert self._ahead is not None
        return dict(self._ahead[2].result())

    def prepare(self, number: int) -> None:
        """Begin to draw `number` beside the rest, once what `sight` shows of those before it is there: nothing that
        comes later changes it."""
        if self._ahead is None or self._ahead[:2] != (number, self.sight):
            sampler = self._sampler(number)
            known = self.known(number) if sampler.learns else ()
            self._ahead = number, self.sight, self._pool.submit(sampler.draw, number, known)

    @property
    def prepared(self) -> bool:
        """Whether `draw` answers at once what was prepared last."""
        return self._ahead is not None and self._ahead[2].done()

    def close(self) -> None:
        """Wait for what is being prepared, and draw no more."""
        self._pool.shutdown(cancel_futures=True)

    def known(self, number: int) -> list[Tried]:
        """The trials before `number` as its draw sees them; where costs count too, as one number each."""
        whole = max(0, number - self.sight.blind)
        with self._seeing:
            self._whole += [self._seen(before, math.inf) for before in range(len(self._whole), whole)]
            rest = [self._seen(before, self.sight.epochs(number - before)) for before in range(whole, number)]
            known = [*self._whole[:whole], *rest]
        if not self._costs:
            return known
        return traded(known, expected_finals(known, self._sign), generator(self._seed, number))

    def _sampler(self, number: int) -> Sampler:
        if BASE_NUMBER < number <= self._first:
            return self._samplers["first"]
        if self._name in ("random", "qmc", "grid"):
            return self._samplers[self._name]
        if number < _startup(self._budget):
            return self._samplers["qmc"]
        if self._name in ("cmaes", "nsga2"):
            return self._samplers[self._name]
        if self._name == "auto" and number > STARTUP and number % PROOF == PROOF - 1:
            return self._samplers["proof"]
        in_turn = self._name == "auto" and number >= TURNS_FROM and number % 2 == 0
        if self._name == "tpe" or in_turn or number > MOST_GAUSSIAN:
            return self._samplers["tpe"]
        return self._samplers["gp"]

    def _seen(self, number: int, epochs: float) -> Tried:
        """The trial as far as `epochs`; the same object as long as the same is known of it."""
        trial = self._tried(number)
        if trial.state != RUNNING:
            last = max(trial.curve, default=0) + (trial.state == FAILED)  # it fails within the epoch after its last
            if last <= epochs:
                return trial
        rung = self.sight.rung(epochs)
        if (number, rung) in self._shown:
            return self._shown[number, rung]
        if rung is None:
            shown = replace(trial, state=RUNNING, curve={}, value=None)
        else:
            curve = {epoch: value for epoch, value in trial.curve.items() if epoch <= rung}
            shown = replace(trial, state=PRUNED, curve=curve, value=None)
        if trial.state != RUNNING:
            self._shown[number, rung] = shown
        return shown


def _startup(budget: int) -> int:
    """The trials of the start, the base recipe's among them."""
    return SHORT_STARTUP if budget <= SHORT else min(STARTUP, max(FEWEST_STARTUP, budget // PART))


@cache
def _last_rung(min_epochs: int, reduction: int, epochs: float) -> int | None:
    return max(takewhile(epochs.__ge__, rung_epochs(min_epochs, reduction)), default=None)


def _samplers(
    space: Space,
    search: Search,
    direction: StudyDirection,
    known: Callable[[int], list[Tried]],
    first: Sequence[First],
) -> dict[str, Sampler]:
    cube, seed, sign = Cube(space), search.seed, 1 if direction == StudyDirection.MAXIMIZE else -1
    return {
        "random": Random(cube, seed),
        "proof": Random(cube, seed, learns=True),
        "qmc": Sobol(cube, seed),
        "first": Given(first),
        "grid": Grid(cube, first),
        "tpe": Tpe(cube, seed, direction),
        "gp": Gaussian(cube, seed, sign, known),
        "cmaes": CmaEs(cube, seed, sign),
        "nsga2": Nsga2(cube, seed, sign),
    }
