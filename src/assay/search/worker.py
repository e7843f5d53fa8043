"""A trial in its worker: one epoch a step. Owns what goes to the driver of each epoch; decides nothing.

The worker stays for the next trial, with its imports and its data. State of modules survives with it, so whatever a
trial depends on is set by the trial: `fit` seeds itself, threads and device are set here. Torch is imported by the
worker only: the driver needs this module too, and has better things to do in its first seconds.
"""

import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ray import ObjectRef, get, tune

from assay.data.dataset import Dataset, Part, Split
from assay.errors import InputError
from assay.folds import Kin, refolded
from assay.modality import Weights
from assay.params import Recipe, Resources

if TYPE_CHECKING:
    from assay.fit import Epoch

METRICS = "metrics"  # prefix of the epoch's metrics in a report, where Tune flattens it: `metrics/val/loss`


@dataclass(frozen=True)
class Mapped:
    """An array that stays in its file: every worker of this machine maps it, and the page cache is shared."""

    path: Path

    def array(self) -> NDArray[Any]:
        mapped: NDArray[Any] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return mapped


class Worker(tune.Trainable):
    """Runs trials one after another. `data` and weights lie in the object store and are read where they lie."""

    epochs: "Iterator[Epoch]"

    def setup(  # type: ignore[override]  # with_parameters adds arguments by name
        self, config: dict[str, Any], data: Dataset, kin: Kin | None, metric: str, resources: Resources
    ) -> None:
        import torch

        from assay.device import resolve_device

        torch.set_num_threads(max(1, int(resources.cpu)))
        self.data, self.kin, self.metric = _opened(data), kin, metric
        self.folded: tuple[int | None, Dataset] = (None, self.data)  # the split of the last trial, with its seed
        self.device = resolve_device(None if resources.gpu else "cpu").type
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """The next epoch; what goes wrong in a trial is its result, so that the worker lives on."""
        begin = time.perf_counter()
        try:
            epoch = next(self.epochs)
        except InputError as error:
            told: dict[str, Any] = {"failed": " ".join(error.sentences)}
        except Exception as error:  # noqa: BLE001  # border: whatever a trial raises fails this trial alone
            told = {"failed": f"{type(error).__name__}: {error}"}
        else:
            told = _told(epoch, self.recipe.epochs)
        self.seconds += time.perf_counter() - begin
        return told | {"seconds": self.seconds, "device": self.device}

    def cleanup(self) -> None:
        self.epochs = _none()

    def _begin(self, config: dict[str, Any]) -> None:
        from assay.fit import fit

        self.epochs = _none()  # what the last trial held goes first
        self.recipe, self.seconds = Recipe.model_validate(config["recipe"]), 0.0
        data = self._split(config["fold"])
        self.epochs = fit(
            self.recipe, data, metric=self.metric, weights=_weights(config["weights"]), device=self.device
        )

    def _split(self, fold: int | None) -> Dataset:
        if self.kin is None or fold is None:
            return self.data
        if self.folded[0] != fold:
            self.folded = (fold, refolded(self.data, self.kin, fold))
        return self.folded[1]


def _none() -> "Iterator[Epoch]":
    return iter(())


def _told(epoch: "Epoch", epochs: int) -> dict[str, Any]:
    if epoch.diverged:
        return {"failed": epoch.stopped or "the loss diverged", "epoch": epoch.number}
    finished = epoch.stopped is not None or epoch.number >= epochs
    return {"epoch": epoch.number, "value": epoch.score, "finished": finished, METRICS: epoch.metrics}


def shared(data: Dataset, mapped: bool) -> Dataset:
    """`data` as it travels to workers: plain arrays, which the object store hands out without a copy, or files."""

    def part(one: Part) -> Part:
        return Part(*(_packed(array, mapped) for array in (one.samples, one.lengths, one.targets)))

    def split(one: Split) -> Split:
        return Split(tuple(map(part, one.parts)), _packed(one.keys, mapped))

    return replace(data, train=split(data.train), validation=split(data.validation))


def packed_weights(weights: Weights) -> dict[str, Any]:
    """Weights as they travel: numpy arrays, which need no copy; bfloat16, which numpy lacks, stays a tensor."""
    import torch

    return {name: each if each.dtype == torch.bfloat16 else each.numpy() for name, each in weights.items()}


def _packed(array: NDArray[Any], mapped: bool) -> Any:
    filename = getattr(array, "filename", None)
    return Mapped(Path(filename).resolve()) if mapped and filename is not None else np.asarray(array)


def _opened(data: Dataset) -> Dataset:
    def part(one: Part) -> Part:
        return Part(*map(_array, (one.samples, one.lengths, one.targets)))

    def split(one: Split) -> Split:
        return Split(tuple(map(part, one.parts)), _array(one.keys))

    return replace(data, train=split(data.train), validation=split(data.validation))


def _array(told: Any) -> NDArray[Any]:
    array: NDArray[Any] = told.array() if isinstance(told, Mapped) else told
    return array


def _weights(told: ObjectRef[Any] | None) -> Weights | None:
    if told is None:
        return None
    import torch

    packed: Mapping[str, Any] = get(told)
    with warnings.catch_warnings():  # the store's arrays are read-only, and so is what is done with them
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return {name: torch.from_numpy(each) if isinstance(each, np.ndarray) else each for name, each in packed.items()}
