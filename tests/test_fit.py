"""What the loop promises: equal runs, exact continuation, and results that say why they ended."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from assay.data.dataset import Dataset
from assay.errors import InputError
from assay.fit import Epoch, State, _out_of_memory, fit
from assay.params import OptimizerName, Recipe, with_values
from samples import digits

OPTIMIZERS = list(OptimizerName.__args__)
SMALL = with_values(Recipe(), {"epochs": 3, "batch_size": 64, "precision": "fp32"})
RICH = with_values(
    SMALL,
    {
        "dropout": 0.3,
        "ema": 0.9,
        "clip_norm": 1.0,
        "label_smoothing": 0.1,
        "regularization.l1": 1e-6,
        "regularization.l2": 1e-5,
        "augmentation.rotate": 10.0,
        "augmentation.noise": 0.05,
        "augmentation.mixup": 0.2,
        "optimizer.weight_decay": 0.01,
        "schedule.warmup": 0.5,
    },
)


def weights_after(epoch: Epoch) -> dict[str, torch.Tensor]:
    return epoch.state().payload["model"]


def last(recipe: Recipe, data: Dataset, resume: State | None = None) -> tuple[Epoch, dict[str, torch.Tensor]]:
    for epoch in fit(recipe, data, metric="auto", resume=resume):
        kept = weights_after(epoch)
    return epoch, kept


def assert_bit_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_resumed_after_any_epoch_ends_bit_equal(name: str, tmp_path: Path) -> None:
    recipe, data = with_values(RICH, {"optimizer.name": name, "optimizer.lr": 1e-3}), digits(train=200, validation=60)
    states = []
    for epoch in fit(recipe, data, metric="auto"):
        epoch.state().save(tmp_path / f"{epoch.number}.pt")
        states.append(epoch.state())
    for number in (1, 2):
        again, kept = last(recipe, data, State.load(tmp_path / f"{number}.pt"))
        assert_bit_equal(kept, states[-1].payload["model"])
        assert_bit_equal(again.state().best_weights, states[-1].best_weights)
        assert (again.score, again.best) == (epoch.score, epoch.best)


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "one_cycle"])
def test_every_schedule_continues_where_it_stopped(schedule: str) -> None:
    recipe = with_values(SMALL, {"schedule.name": schedule, "schedule.step_epochs": 1})
    epochs = fit(recipe, digits(), metric="auto")
    first = next(epochs).state()
    *_, unbroken = (weights_after(epoch) for epoch in epochs)
    assert_bit_equal(last(recipe, digits(), first)[1], unbroken)


def test_equal_recipes_give_equal_numbers_whatever_else_draws_between_epochs() -> None:
    metrics = []
    for noise in (False, True):
        found: dict[str, float] = {}
        for epoch in fit(RICH, digits(), metric="auto"):
            found = {name: value for name, value in epoch.metrics.items() if name != "cost/seconds"}
            if noise:
                torch.rand(7)
        metrics.append(found)
    assert metrics[0] == metrics[1]


def test_another_seed_gives_other_numbers() -> None:
    scores = {last(with_values(SMALL, {"seed": seed}), digits())[0].metrics["train/loss"] for seed in (0, 1)}
    assert len(scores) == 2


def test_the_small_network_learns_the_digits() -> None:
    epoch, _ = last(with_values(SMALL, {"epochs": 6, "optimizer.lr": 3e-3}), digits(train=1000, validation=300))
    assert epoch.best > 0.9
    assert epoch.metrics["val/accuracy"] <= epoch.metrics["best/accuracy"] == epoch.best


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_every_task_is_learnt(task: str) -> None:
    epoch, _ = last(with_values(SMALL, {"epochs": 8, "optimizer.lr": 3e-3}), digits(task, train=1000, validation=300))
    assert epoch.best > 0.6


def test_regression_predicts_in_the_targets_own_units() -> None:
    data = digits("regression", train=1000, validation=300)
    epoch, _ = last(with_values(SMALL, {"epochs": 8, "optimizer.lr": 3e-3}), data)
    spread = float(np.std(data.validation.targets[:, 0]))
    assert epoch.metrics["val/mae"] < spread / 2


def test_more_data_than_memory_trains_to_the_same_weights() -> None:
    data = digits()
    recipe = with_values(SMALL, {"epochs": 2})
    *_, mapped = (weights_after(epoch) for epoch in fit(recipe, data, metric="auto", memory_limit=1000))
    assert_bit_equal(mapped, last(recipe, data)[1])


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_a_rate_far_too_high_ends_with_a_result_that_says_so(name: str) -> None:
    recipe = with_values(SMALL, {"optimizer.name": name, "optimizer.lr": 100.0, "schedule.name": "constant"})
    *_, epoch = fit(recipe, digits(), metric="loss")
    assert epoch.diverged and math.isnan(epoch.score)
    assert epoch.stopped is not None and "optimizer.lr (now 100)" in epoch.stopped
    assert all(map(math.isfinite, epoch.metrics.values()))


def test_early_stop_ends_the_run_and_keeps_the_best_weights() -> None:
    recipe = with_values(SMALL, {"epochs": 50, "early_stop": 2, "optimizer.lr": 0.02, "schedule.name": "constant"})
    kept = {}
    for epoch in fit(recipe, digits(), metric="accuracy"):
        kept[epoch.score] = weights_after(epoch) if epoch.score not in kept else kept[epoch.score]
    assert epoch.number < 50
    assert epoch.stopped == "no better accuracy for 2 epochs"
    assert_bit_equal(epoch.state().best_weights, kept[epoch.best])


def test_a_finished_run_resumed_has_nothing_left_to_do() -> None:
    epoch, _ = last(SMALL, digits())
    assert list(fit(SMALL, digits(), metric="auto", resume=epoch.state())) == []


def test_a_state_of_another_recipe_is_refused() -> None:
    state = next(fit(SMALL, digits(), metric="auto")).state()
    with pytest.raises(InputError, match="checkpoint is of another recipe or data set; delete it"):
        next(fit(with_values(SMALL, {"dropout": 0.5}), digits(), metric="auto", resume=state))


@pytest.mark.parametrize("harm", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: b"not a checkpoint"])
def test_a_damaged_checkpoint_is_one_sentence(harm, tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    next(fit(SMALL, digits(), metric="auto")).state().save(path)
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(InputError, match=r"state\.pt: is damaged; delete it to train from the beginning"):
        State.load(path)


def test_a_batch_that_does_not_fit_says_what_to_try() -> None:
    said = r"recipe.batch_size is 512: the device ran out of memory; try 256"
    with pytest.raises(InputError, match=said), _out_of_memory("recipe.batch_size is 512", "try 256"):
        torch.empty(2**48)  # more than any machine has: the allocator's own error


def test_a_last_batch_of_one_does_not_break_batch_norm() -> None:
    data = digits(train=65, validation=20)
    recipe = with_values(SMALL, {"backbone": "resnet10t", "epochs": 1, "batch_size": 32})
    assert next(fit(recipe, data, metric="auto")).number == 1


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"loss": "mse"}, "recipe.loss is 'mse', which does not fit classification; use cross_entropy or focal"),
        ({"class_weights": {"ten": 2.0}}, "recipe.class_weights: 'ten' is not a class"),
    ],
)
def test_a_recipe_that_does_not_fit_the_data_is_one_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        next(fit(with_values(SMALL, values), digits(), metric="auto"))


def test_a_metric_of_another_task_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"search\.metric is 'r2', which does not fit classification; use accuracy"):
        next(fit(SMALL, digits(), metric="r2"))


def test_fp16_without_a_gpu_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"recipe\.precision is 'fp16', which needs a GPU"):
        next(fit(with_values(SMALL, {"precision": "fp16"}), digits(), metric="auto", device="cpu"))


def test_bf16_learns_too() -> None:
    epoch, _ = last(with_values(SMALL, {"precision": "bf16", "epochs": 2}), digits())
    assert epoch.metrics["val/loss"] < math.log(10)


def test_no_memory_for_the_model_names_the_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("assay.fit.build_model", refuse)
    with pytest.raises(InputError, match=r"recipe\.backbone is 'cnn': the device ran out of memory; try a smaller one"):
        next(fit(Recipe(), digits(train=8, validation=8), metric="auto", device="cpu"))
