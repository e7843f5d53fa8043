"""Ray Tune executes a search. Owns the two thin objects that stand between Tune and the jobs of a search; keeps no
state of its own: what Tune knows dies with it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from assay.data.dataset import Dataset
from assay.errors import InputError
from assay.folds import Kin
from assay.modality import Weights
from assay.params import Recipe, Search
from assay.search.local_ray import replaced
from assay.search.machine import Machine
from assay.search.study import MACHINE_TRIES
from assay.search.trial import Asked
from assay.search.worker import METRICS, Worker, packed_weights, shared
from assay.terminal import say


class Jobs(Protocol):
    """What is to be run, and what becomes of it: the trials of a search, or its finals."""

    name: str  # of the folder that Tune keeps its files in
    metric: str
    broken: InputError | None  # why it cannot go on

    @property
    def left(self) -> int:
        """How many are still to be run, at most."""

    @property
    def ready(self) -> bool:
        """Whether `next` can answer now."""

    @property
    def over(self) -> bool:
        """Whether none will be begun any more."""

    def next(self) -> Asked | None:
        """The next one; None where there is none."""

    def report(self, number: int, told: Mapping[str, Any]) -> bool:
        """Take what one tells after an epoch; whether it goes on."""

    def lost(self, number: int, reason: str, machine: bool) -> None:
        """One whose worker is no more; `machine`: by no fault of its own."""

    def check_owned(self) -> None:
        """Raise Superseded where another driver has taken over."""


WeightsOf = Callable[[Recipe], Weights | None]

TRIES = 1 + MACHINE_TRIES  # of a trial, at most
TURN_S = 10.0  # a turn of Tune's loop that took longer was no turn: this process was stopped meanwhile


def run_trials(
    jobs: Jobs,
    machine: Machine,
    data: Dataset,
    weights_of: WeightsOf,
    search: Search,
    workers: int,
    kin: Kin | None = None,
) -> None:
    """Run what is left, `workers` at once; `kin` is of data that a job may split anew.

    Raises:
        InputError: the search cannot go on.
    """
    resources = search.resources
    mapped = machine.local and not machine.holds(data.train.nbytes + data.validation.nbytes)
    worker = tune.with_parameters(Worker, data=shared(data, mapped), kin=kin, metric=jobs.metric, resources=resources)
    ask = Ask(jobs, weights_of, workers)
    tuner = tune.Tuner(
        tune.with_resources(worker, {"cpu": resources.cpu, "gpu": resources.gpu}),
        tune_config=tune.TuneConfig(
            # at most: the jobs say the end, and with the last Tune would keep no more workers
            num_samples=TRIES * jobs.left + 1,
            max_concurrent_trials=2 * workers,  # those that run and those that keep their worker for the next one
            reuse_actors=True,
            search_alg=ask,
            scheduler=Judge(jobs, ask, search, machine),
        ),
        run_config=tune.RunConfig(
            name=jobs.name,
            storage_path=machine.files(),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    # It would end with an error of its own where a worker was lost.
    logging.getLogger("ray.tune.tune").setLevel(logging.CRITICAL)
    with _every_death_told():
        tuner.fit()
    if jobs.broken is not None:
        raise jobs.broken


class Ask(Searcher):
    """What to try: Tune asks, the study answers, where a worker is free and the study can."""

    def __init__(self, jobs: Jobs, weights_of: WeightsOf, workers: int) -> None:
        super().__init__()
        self.jobs, self.weights_of, self.workers = jobs, weights_of, workers
        self.running: dict[str, int] = {}  # Tune's trial → the study's number
        self.offered: Trial | None = None  # handed out, and to take over a kept worker
        self._stored: dict[tuple[str, Any], ray.ObjectRef[Any]] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a str
        while len(self.running) < self.workers and self.offered is None and self.jobs.ready:
            if (asked := self.jobs.next()) is None:
                return None if self.running else str(Searcher.FINISHED)  # one that runs may have to begin anew
            try:
                weights = self._weights(asked.recipe)
            except InputError as error:  # no such weights: this recipe fails, another may not need them
                self.jobs.report(asked.number, {"failed": " ".join(error.sentences), "seconds": 0.0})
                continue
            self.running[trial_id] = asked.number
            return {"recipe": asked.recipe.model_dump(), "weights": weights, "fold": asked.fold}
        return None  # Tune asks again

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: Judge has closed the trial with its last report, or with its worker's death."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is on disk."""

    def restore(self, checkpoint_path: str) -> None:
        raise AssertionError("a search goes on from its study, never from Tune's snapshot")

    def __getstate__(self) -> dict[str, Any]:
        return {}  # for Tune's snapshot, which is never read

    def _weights(self, recipe: Recipe) -> Any:
        if not recipe.pretrained:
            return None
        key = (recipe.backbone, recipe.pretrained)
        if key not in self._stored:
            weights = self.weights_of(recipe)
            assert weights is not None, f"{recipe.backbone} has weights where its recipe asks for them"
            self._stored[key] = ray.put(packed_weights(weights))
        return self._stored[key]


class Judge(FIFOScheduler):
    """When to stop: every report goes to the study, which answers; no rungs are kept here.

    A trial that has ended keeps its worker until the next one is there to take it over: Tune would end a worker that
    nobody waits for, and another takes seconds to come up.
    """

    def __init__(self, jobs: Jobs, ask: Ask, search: Search, machine: Machine) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.jobs, self.ask, self.machine = jobs, ask, machine
        self.gpu, self.timeout = search.resources.gpu, search.trial_timeout
        self._keeping: list[Trial] = []
        self._silent: dict[Trial, float] = {}  # for how many seconds, of those that run
        self._looked = time.monotonic()

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._silent[trial] = 0.0
        if self._keeping:
            self.ask.offered = trial

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if trial.trial_id not in self.ask.running:  # its last word, which came after it was given up
            return str(TrialScheduler.CONTINUE)
        told = {name: result.get(name) for name in ("epoch", "value", "finished", "failed", "seconds")}
        told["metrics"] = {
            name.removeprefix(f"{METRICS}/"): value for name, value in result.items() if name.startswith(f"{METRICS}/")
        }
        told["worker"] = f"{result['hostname']}/{result['pid']}"
        self._look(str(result["hostname"]), str(result["device"]))
        if self.jobs.report(self.ask.running[trial.trial_id], told):
            self._silent[trial] = 0.0
            return str(TrialScheduler.CONTINUE)
        self._silent.pop(trial, None)
        del self.ask.running[trial.trial_id]
        self._keeping.append(trial)
        return str(TrialScheduler.NOOP)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial that takes over a kept worker: Tune looks here once a turn, before it looks for workers itself."""
        self.machine.check()
        self.jobs.check_owned()
        self._end_silent(tune_controller)
        taking, self.ask.offered = self.ask.offered, None
        if taking is None and self._keeping:  # one that found no room, since a node died or the cluster is shared
            taking = next((each for each in tune_controller.get_live_trials() if each.status == Trial.PENDING), None)
        if taking is not None:
            if self._keeping:
                tune_controller.stop_trial(self._keeping.pop())
        elif self.jobs.over:
            while self._keeping:
                tune_controller.stop_trial(self._keeping.pop())
        return taking

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        if trial in self._keeping:
            self._keeping.remove(trial)
        self._silent.pop(trial, None)
        number = self.ask.running.pop(trial.trial_id, None)
        if number is not None:
            error = _error_of(trial)
            self.jobs.lost(number, f"its worker died: {_said(error)}", machine=isinstance(error, RayActorError))

    def _look(self, host: str, device: str) -> None:
        """Say once of a machine that it trains on its CPU what was to train on a GPU."""
        if self.gpu and device == "cpu" and host not in self.machine.without_gpu:
            self.machine.without_gpu.add(host)
            asked = f"search: search.resources.gpu is {self.gpu:g}, but torch finds no GPU on {host}"
            say(f"{asked}: trials there train on the CPU.")

    def _end_silent(self, tune_controller: Any) -> None:
        """Fail trials that have told nothing for too long, and end their workers, whatever those do.

        Time counts while we listen, so a driver that was stopped and goes on blames nobody for it; and from when a
        worker has room, which on a cluster may take its time.
        """
        passed, self._looked = min(time.monotonic() - self._looked, TURN_S), time.monotonic()
        if self.timeout is None:
            return
        for trial in list(self._silent):
            actor = _worker_of(tune_controller, trial)
            self._silent[trial] += passed if actor is not None else 0.0
            if actor is not None and self._silent[trial] > self.timeout:
                del self._silent[trial]
                self.jobs.lost(self.ask.running.pop(trial.trial_id), _hung(self.timeout), machine=False)
                ray.kill(actor)

    def __getstate__(self) -> dict[str, Any]:
        return {}


@contextmanager
def _every_death_told() -> Iterator[None]:
    """Let Tune take whatever Ray ended for dead. It knows actors that died, and goes down with anything else, as where
    the watch of a node over its memory, which a cluster has and a local Ray of ours has not, killed a worker."""

    def told(failed: Callable[..., None]) -> Callable[..., None]:
        return lambda manager, *, exception, **of: failed(manager, exception=_as_death(exception), **of)

    with ExitStack() as changed:
        for name in ("_actor_start_failed", "_actor_task_failed"):
            changed.enter_context(replaced(RayActorManager, name, told(getattr(RayActorManager, name))))
        yield


def _as_death(error: Exception) -> Exception:
    if isinstance(error, RayActorError | RayTaskError):
        return error
    if isinstance(error, OutOfMemoryError):  # Ray's own words have a node's numbers in them, and no two are the same
        return RayActorError(error_msg="Ray killed it, since memory on its node was running out")
    return RayActorError(error_msg=str(error))


def _worker_of(tune_controller: Any, trial: Trial) -> Any | None:
    """A trial's worker from when it has room, also while it comes up; Tune shows it only later."""
    controller = tune_controller._tune_controller
    live = controller._actor_manager._live_actors_to_ray_actors_resources
    worker = live.get(controller._trial_to_actor.get(trial))
    return None if worker is None else worker[0]


def _error_of(trial: Trial) -> BaseException | None:
    """How its worker ended. Tune keeps it beside the trial, and looks for it only where trials are synced to."""
    kept = trial.pickled_error_file
    if kept is None or not Path(kept).exists():
        return None
    error: BaseException = ray.cloudpickle.loads(Path(kept).read_bytes())
    return error


def _hung(seconds: int) -> str:
    return f"it told nothing for {seconds} s (search.trial_timeout)"


def _said(error: BaseException | None) -> str:
    """What Ray says of a worker's death, in a line."""
    return next(iter(str(error or "").strip().splitlines()), "no reason was given")
