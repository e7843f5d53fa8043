"""The training loop, the only one: a generator of epochs. Knows neither who asked for it, nor where its numbers go.

Everything an epoch draws is seeded by the recipe's seed and the epoch's number, so the state that continues a run needs
no state of a random generator, and a resumed run ends bit-equal to one that was not interrupted.
"""

import copy
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from assay import augment
from assay.data.dataset import Dataset
from assay.descent import decay_weights, make_optimizer, rate_at, set_rate
from assay.device import autocast, deterministic, resolve_device, resolve_precision
from assay.errors import InputError, is_out_of_memory
from assay.feed import Batch, Feed
from assay.metric import better, resolve_metric
from assay.modality import Weights
from assay.models import build_model
from assay.objective import Penalty, class_weights, make_loss
from assay.params import Recipe, flat
from assay.scores import scores_of

EXPLODED = 1e3  # times the first batch's loss: no training comes back from there
EVALUATION_BATCH = 64  # samples a forward pass without gradients: no more memory than a step of training takes


@dataclass(frozen=True)
class State:
    """What continues a run after `epoch`: weights, moments, the best so far. Belongs to one recipe and one data set."""

    run: str  # a hash of recipe, data version and metric
    epoch: int
    payload: dict[str, Any]

    @property
    def best_weights(self) -> dict[str, Tensor]:
        """The model's state dict at its best epoch."""
        weights: dict[str, Tensor] = self.payload["best"]["weights"]
        return weights

    @property
    def history(self) -> list[dict[str, float]]:
        """The metrics of every epoch so far."""
        history: list[dict[str, float]] = self.payload["history"]
        return history

    def save(self, path: Path) -> None:
        """Write to `path` in one step: a kill leaves the old state or the new one, never half of one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            with beside.open("wb") as file:
                torch.save(asdict(self), file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> "State":
        """Read a state.

        Raises:
            InputError: the file is damaged.
        """
        try:
            return cls(**torch.load(path, map_location="cpu", weights_only=True))
        except (RuntimeError, UnpicklingError, EOFError, TypeError, ValueError) as error:
            raise InputError(f"{path}: is damaged; delete it to train from the beginning.") from error


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave: `score` is the watched metric now, `best` so far, `stopped` why none follows, or None."""

    number: int  # from 1
    metrics: dict[str, float]
    score: float
    best: float
    stopped: str | None
    diverged: bool
    _state: Callable[[], State]

    def state(self) -> State:
        """The state that continues after this epoch; to be taken before the next epoch begins."""
        return self._state()


def fit(
    recipe: Recipe,
    data: Dataset,
    *,
    metric: str,
    resume: State | None = None,
    weights: Weights | None = None,
    device: str | None = None,
    memory_limit: int | None = None,
) -> Iterator[Epoch]:
    """Train `recipe` on `data`, an epoch at a time.

    Args:
        metric: what is watched on the validation split (`auto`: the task's own).
        resume: the state of an earlier run of the same recipe and data; its epochs are not repeated.
        weights: pretrained weights of the backbone, where the recipe asks for them.
        device: a torch device; None: the best there is.
        memory_limit: bytes of samples that may be held; None: half of what is free. More is streamed.

    Yields:
        An `Epoch` after each pass; metrics `train/loss`, `val/loss`, `val/<score>`, `best/<metric>`, `lr`,
        `cost/seconds`, `cost/parameters`. `stopped` says why an epoch is the last one where the recipe asks for more.

    Raises:
        InputError: the recipe does not fit the data, a state of another run, or no memory for the batch size.
    """
    with _out_of_memory(f"recipe.backbone is {recipe.backbone!r}", "try a smaller one, or a smaller recipe.input_size"):
        training = _Training(recipe, data, metric, weights, resolve_device(device), memory_limit)
        if resume is not None:
            training.restore(resume)
    half = recipe.batch_size // 2
    remedy = f"try {half}" if half else "try a smaller recipe.input_size or backbone"
    while training.epoch < recipe.epochs and training.stopped is None:
        with deterministic(training.device), _out_of_memory(f"recipe.batch_size is {recipe.batch_size}", remedy):
            epoch = training.next_epoch()
        yield epoch


def run_key(recipe: Recipe, data_version: str, metric: str) -> str:
    """A hash of what makes a run what it is; a state belongs to one."""
    said = json.dumps([flat(recipe), data_version, metric], sort_keys=True)
    return blake2b(said.encode(), digest_size=16).hexdigest()


class _Training:
    """One run between two epochs."""

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        metric: str,
        weights: Weights | None,
        device: torch.device,
        memory_limit: int | None,
    ) -> None:
        about = data.about
        self.recipe, self.task, self.device = recipe, about.task, device
        self.metric = resolve_metric(metric, about.task)
        self.key = run_key(recipe, about.version, self.metric)
        self.precision = resolve_precision(recipe.precision, device)
        torch.manual_seed(recipe.seed)
        model = build_model(recipe, about.spec, about.num_outputs, weights)
        targets = data.train.targets
        if about.task == "regression":
            model.scale_outputs(targets.mean(0), targets.std(0))
        self.model = model.to(device)  # channels_last since build_model
        self.num_parameters = sum(parameter.numel() for parameter in model.parameters())
        groups = model.parameter_groups(recipe.optimizer.lr, recipe.optimizer.layer_decay)
        self.optimizer = make_optimizer(recipe.optimizer, groups)
        self.learning = [parameter for group in groups for parameter in group["params"]]
        decaying = [parameter for group in groups if group["decays"] for parameter in group["params"]]
        self.penalty = Penalty(recipe.regularization.l1, recipe.regularization.l2, decaying)
        shares = class_weights(recipe.class_weights, about.classes, targets)
        self.loss = make_loss(recipe, about.task, None if shares is None else shares.to(device))
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.precision == "fp16")
        self.average = copy.deepcopy(self.model) if recipe.ema is not None else None
        self.augment = augment.online(recipe.augmentation, about.spec.modality)
        self.train_feed = Feed(data.train, device, memory_limit)
        self.validation_feed = Feed(data.validation, device, memory_limit)
        self.epoch, self.waited, self.stopped = 0, 0, None if len(self.train_feed) else "there is nothing to train on"
        self.first_loss: float | None = None
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {"score": None, "epoch": 0, "weights": None}

    @property
    def num_samples(self) -> int:
        """Samples of an epoch: a last batch of a single one is left out, since batch norm has no variance there."""
        count = len(self.train_feed)
        return count - 1 if count > 1 and count % self.recipe.batch_size == 1 else count

    @property
    def steps_an_epoch(self) -> int:
        return math.ceil(self.num_samples / self.recipe.batch_size)

    def next_epoch(self) -> Epoch:
        begin = time.perf_counter()
        torch.manual_seed(_seed(self.recipe.seed, self.epoch, 0))  # dropout draws from the global generator
        train_loss = self._pass()
        self.epoch += 1
        if not math.isfinite(train_loss) or self._exploded(train_loss):
            return self._diverged(begin)
        scores = self._validate()
        if not all(map(math.isfinite, scores.values())):
            return self._diverged(begin)
        score = scores[self.metric]
        self._keep_best(score)
        metrics = {"train/loss": train_loss, **{f"val/{name}": value for name, value in scores.items()}}
        if self.penalty.weights:
            metrics["train/penalty"] = self.penalty.value()
        metrics[f"best/{self.metric}"] = self.best["score"]
        metrics["lr"] = self._rate(self.epoch * self.steps_an_epoch - 1)
        return self._report(metrics, score, begin, diverged=False)

    def _pass(self) -> float:
        """One pass over the training samples; the mean loss of a sample, or NaN as soon as it is not finite."""
        recipe, batch_size = self.recipe, self.recipe.batch_size
        shuffle = torch.Generator().manual_seed(_seed(recipe.seed, self.epoch, 1))
        rng = torch.Generator(self.device).manual_seed(_seed(recipe.seed, self.epoch, 2))
        order = torch.randperm(len(self.train_feed), generator=shuffle)[: self.num_samples]
        step, total = self.epoch * self.steps_an_epoch, torch.zeros((), device=self.device)
        self.model.train()
        for block in self.train_feed.blocks(order, batch_size):
            x = block.x if self.augment is None else self.augment(block.x, block.length, rng)
            for batch in map(Batch, *(each.split(batch_size) for each in (x, block.length, block.target))):
                total += self._step(batch, step, rng) * len(batch.x)
                step += 1
            if not bool(torch.isfinite(total)):
                return math.nan
        return float(total) / len(order)

    def _step(self, batch: Batch, step: int, rng: torch.Generator) -> Tensor:
        """One step of descent; the batch's loss."""
        x, other, share = augment.mix(batch.x, self.recipe.augmentation, rng)
        with autocast(self.precision, self.device):
            outputs = self.model(x, batch.length)
        loss = self._loss(outputs, batch.target)
        if other is not None:
            loss = share * loss + (1 - share) * self._loss(outputs, batch.target[other])
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer) if self.scaler.is_enabled() else None
        self.penalty.add_gradients()
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.learning, self.recipe.clip_norm)
        set_rate(self.optimizer, self._rate(step))
        decay_weights(self.optimizer, self.recipe.optimizer.weight_decay)
        self.scaler.step(self.optimizer) if self.scaler.is_enabled() else self.optimizer.step()
        self.scaler.update() if self.scaler.is_enabled() else None
        self._average(step)
        if self.first_loss is None:
            self.first_loss = float(loss.detach())
        return loss.detach()

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """In float32; regression in units of the training targets' spread, so that a rate fits any unit."""
        outputs = outputs.float()
        if self.task == "regression":
            outputs, targets = self.model.standardized(outputs), self.model.standardized(targets)
        return self.loss(outputs, targets)

    def _rate(self, step: int) -> float:
        recipe = self.recipe
        return rate_at(step, recipe.optimizer.lr, recipe.schedule, recipe.epochs, self.steps_an_epoch)

    @torch.no_grad()
    def _average(self, step: int) -> None:
        if self.average is None or self.recipe.ema is None:
            return
        # A young average follows quickly (as TensorFlow's ExponentialMovingAverage with num_updates).
        decay = min(self.recipe.ema, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        for mean, now in zip(self.average.buffers(), self.model.buffers(), strict=True):
            mean.copy_(now)

    @torch.inference_mode()
    def _validate(self) -> dict[str, float]:
        model = self.model if self.average is None else self.average
        model.eval()
        outputs, targets = [], []
        for block in self.validation_feed.blocks(torch.arange(len(self.validation_feed)), EVALUATION_BATCH):
            with autocast(self.precision, self.device):
                pieces = (each.split(EVALUATION_BATCH) for each in (block.x, block.length))
                outputs += [model(x, length).float() for x, length in zip(*pieces, strict=True)]
            targets.append(block.target)
        every, true = torch.cat(outputs), torch.cat(targets)
        return {"loss": float(self._loss(every, true)), **scores_of(self.task, every, true)}

    def _keep_best(self, score: float) -> None:
        best, sign = self.best["score"], 1 if better(self.metric) == "max" else -1
        if best is None or sign * score > sign * best:
            model = self.model if self.average is None else self.average
            self.best = {"score": score, "epoch": self.epoch, "weights": _copied(model.state_dict())}
            self.waited = 0
        else:
            self.waited += 1
        if self.recipe.early_stop is not None and self.waited >= self.recipe.early_stop:
            self.stopped = f"no better {self.metric} for {self.waited} epochs"

    def _exploded(self, loss: float) -> bool:
        return self.first_loss is not None and loss > EXPLODED * max(self.first_loss, 1.0)

    def _diverged(self, begin: float) -> Epoch:
        self.stopped = (
            f"the loss diverged in epoch {self.epoch}; a smaller recipe.optimizer.lr "
            f"(now {self.recipe.optimizer.lr:g}) or recipe.clip_norm would help"
        )
        return self._report({}, math.nan, begin, diverged=True)

    def _report(self, metrics: dict[str, float], score: float, begin: float, *, diverged: bool) -> Epoch:
        metrics["cost/seconds"] = time.perf_counter() - begin
        metrics["cost/parameters"] = self.num_parameters
        self.history.append(metrics)
        best = self.best["score"] if self.best["score"] is not None else math.nan
        number = self.epoch

        def state() -> State:
            assert self.epoch == number, "an epoch's state is taken before the next epoch begins"
            return self.state()

        return Epoch(number, metrics, score, best, self.stopped, diverged, state)

    def state(self) -> State:
        payload = {
            "model": _copied(self.model.state_dict()),
            "average": None if self.average is None else _copied(self.average.state_dict()),
            "optimizer": _copied(self.optimizer.state_dict()),
            "scaler": self.scaler.state_dict(),
            "best": _copied(self.best),
            "history": _copied(self.history),
            "waited": self.waited,
            "stopped": self.stopped,
            "first_loss": self.first_loss,
        }
        return State(self.key, self.epoch, payload)

    def restore(self, state: State) -> None:
        if state.run != self.key:
            raise InputError("the checkpoint is of another recipe or data set; delete it to train from the beginning.")
        kept = state.payload
        self.model.load_state_dict(kept["model"])
        if self.average is not None:
            self.average.load_state_dict(kept["average"])
        self.optimizer.load_state_dict(_copied(kept["optimizer"]))
        self.scaler.load_state_dict(kept["scaler"])
        self.epoch, self.waited, self.best = state.epoch, kept["waited"], _copied(kept["best"])
        self.stopped, self.first_loss, self.history = kept["stopped"], kept["first_loss"], _copied(kept["history"])


def _seed(seed: int, epoch: int, stream: int) -> int:
    """A seed for one stream of draws in one epoch."""
    return int(np.random.SeedSequence([seed, epoch, stream]).generate_state(1, np.uint64)[0] >> 1)


def _copied(value: Any) -> Any:
    """A copy that later steps do not change."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(inner) for inner in value)
    return value


@contextmanager
def _out_of_memory(setting: str, remedy: str) -> Iterator[None]:
    """The device's want of memory as a sentence about the setting that takes most of it."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError(f"{setting}: the device ran out of memory; {remedy}.") from error
