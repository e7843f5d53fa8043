"""Ray Tune executes a search. Owns the two thin objects that stand between Tune and the course of the search; keeps no
state of its own: what Tune knows dies with it.
"""

from collections.abc import Callable
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from assay.data.dataset import Dataset
from assay.errors import InputError
from assay.modality import Weights
from assay.params import Recipe, Resources
from assay.search.course import Course
from assay.search.machine import Machine
from assay.search.worker import METRICS, Worker, packed_weights, shared

WeightsOf = Callable[[Recipe], Weights | None]


def run_trials(
    course: Course, machine: Machine, data: Dataset, weights_of: WeightsOf, resources: Resources, workers: int
) -> None:
    """Run what is left of the budget, `workers` at once.

    Raises:
        InputError: the search cannot go on.
    """
    mapped = machine.local and not machine.holds(data.train.nbytes + data.validation.nbytes)
    worker = tune.with_parameters(Worker, data=shared(data, mapped), metric=course.study.metric, resources=resources)
    searcher = Ask(course, weights_of)
    tuner = tune.Tuner(
        tune.with_resources(worker, {"cpu": resources.cpu, "gpu": resources.gpu}),
        tune_config=tune.TuneConfig(
            num_samples=course.study.left,
            max_concurrent_trials=workers,
            reuse_actors=True,
            search_alg=searcher,
            scheduler=Judge(course, searcher),
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(machine.folder / "tune"),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    tuner.fit()
    if course.broken is not None:
        raise course.broken


class Ask(Searcher):
    """What to try: Tune asks, the study answers."""

    def __init__(self, course: Course, weights_of: WeightsOf) -> None:
        super().__init__()
        self.course, self.weights_of = course, weights_of
        self.numbers: dict[str, int] = {}  # Tune's trial → the study's
        self._stored: dict[tuple[str, Any], ray.ObjectRef[Any]] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]  # Tune takes FINISHED, a str
        while (asked := self.course.next()) is not None:
            try:
                weights = self._weights(asked.recipe)
            except InputError as error:  # no such weights: this recipe fails, another may not need them
                self.course.report(asked.number, {"failed": " ".join(error.sentences), "seconds": 0.0})
                continue
            self.numbers[trial_id] = asked.number
            return {"recipe": asked.recipe.model_dump(), "weights": weights}
        return str(Searcher.FINISHED)

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
    """When to stop: every report goes to the study, which answers; no rungs are kept here."""

    def __init__(self, course: Course, searcher: Ask) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.course, self.searcher = course, searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        told = {name: result.get(name) for name in ("epoch", "value", "finished", "failed", "seconds")}
        told["metrics"] = {
            name.removeprefix(f"{METRICS}/"): value for name, value in result.items() if name.startswith(f"{METRICS}/")
        }
        goes_on = self.course.report(self.searcher.numbers[trial.trial_id], told)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        lines = str(trial.get_error() or "").strip().splitlines() or ["no reason was given"]
        self.course.lost(self.searcher.numbers[trial.trial_id], f"its worker died: {lines[0]}")

    def __getstate__(self) -> dict[str, Any]:
        return {}
