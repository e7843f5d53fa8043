"""Losses against their formulas, and penalties against autograd."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from assay.errors import InputError
from assay.objective import Penalty, class_weights, make_loss, resolve_loss
from assay.params import LOSSES_OF_TASK, Recipe, with_values

LOSSES = [(task, name) for task, names in LOSSES_OF_TASK.items() for name in names]


def example(task: str) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    outputs = torch.randn(12, 4, generator=rng)
    targets = {
        "classification": torch.randint(4, (12,), generator=rng),
        "multilabel": torch.randint(2, (12, 4), generator=rng).float(),
        "regression": torch.randn(12, 4, generator=rng),
    }
    return outputs, targets[task]


def perfect(task: str, targets: torch.Tensor) -> torch.Tensor:
    if task == "regression":
        return targets
    hot = F.one_hot(targets, 4) if task == "classification" else targets
    return (hot.float() * 2 - 1) * 30


@pytest.mark.parametrize("task, name", LOSSES)
class TestEveryLoss:
    def test_is_a_finite_number_above_the_perfect_one(self, task: str, name: str) -> None:
        outputs, targets = example(task)
        loss = make_loss(with_values(Recipe(), {"loss": name}), task, None)
        assert 0 <= loss(perfect(task, targets), targets) < 1e-6 < loss(outputs, targets) < 10

    def test_falls_along_its_gradient(self, task: str, name: str) -> None:
        outputs, targets = example(task)
        loss = make_loss(with_values(Recipe(), {"loss": name}), task, None)
        outputs.requires_grad_()
        before = loss(outputs, targets)
        before.backward()
        assert outputs.grad is not None
        assert loss(outputs.detach() - 0.1 * outputs.grad, targets) < before

    def test_refuses_another_task(self, task: str, name: str) -> None:
        for other in set(LOSSES_OF_TASK) - {task}:
            if name not in LOSSES_OF_TASK[other]:
                with pytest.raises(InputError, match=f"recipe.loss is '{name}', which does not fit {other}; use "):
                    resolve_loss(with_values(Recipe(), {"loss": name}), other)


def test_auto_is_the_tasks_own_loss() -> None:
    assert [resolve_loss(Recipe(), task) for task in LOSSES_OF_TASK] == ["cross_entropy", "binary_cross_entropy", "mse"]


@pytest.mark.parametrize("task, plain", [("classification", "cross_entropy"), ("multilabel", "binary_cross_entropy")])
def test_focal_with_gamma_zero_is_the_plain_loss(task: str, plain: str) -> None:
    outputs, targets = example(task)
    focal = make_loss(with_values(Recipe(), {"loss": "focal", "focal_gamma": 0.0}), task, None)
    other = make_loss(with_values(Recipe(), {"loss": plain}), task, None)
    torch.testing.assert_close(focal(outputs, targets), other(outputs, targets))


def test_weighted_focal_with_gamma_zero_is_weighted_cross_entropy() -> None:
    outputs, targets = example("classification")
    weights = torch.tensor([1.0, 2.0, 0.5, 4.0])
    focal = make_loss(with_values(Recipe(), {"loss": "focal", "focal_gamma": 0.0}), "classification", weights)
    torch.testing.assert_close(focal(outputs, targets), F.cross_entropy(outputs, targets, weights))


def test_smoothing_makes_certainty_cost() -> None:
    _, targets = example("classification")
    certain = perfect("classification", targets)
    plain, smooth = (
        make_loss(with_values(Recipe(), {"label_smoothing": share}), "classification", None)(certain, targets)
        for share in (0.0, 0.1)
    )
    assert smooth > plain + 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_balanced_weights_give_every_class_the_same_share(labels: list[int]) -> None:
    targets = np.array(labels)
    weights = class_weights("balanced", ["a", "b", "c", "d"], targets)
    assert weights is not None
    shares = [float(weights[k]) * labels.count(k) for k in set(labels)]
    np.testing.assert_allclose(shares, len(labels) / 4, rtol=1e-5)


def test_named_class_weights_leave_the_others_at_one() -> None:
    weights = class_weights({"b": 3.0}, ["a", "b"], np.array([0, 1]))
    assert weights is not None and weights.tolist() == [1.0, 3.0]


def test_class_weights_for_numbers_are_refused() -> None:
    with pytest.raises(InputError, match=r"recipe\.class_weights is set, but regression has no classes"):
        class_weights("balanced", None, np.array([[1.0]]))


@pytest.mark.parametrize("l1, l2", [(0.1, 0.0), (0.0, 0.2), (0.1, 0.2)])
def test_a_penalty_is_equal_to_its_term_in_the_loss(l1: float, l2: float) -> None:
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    x = torch.ones(4)
    (l1 * weight.abs().sum() + l2 * weight.square().sum() + (weight @ x).sum()).backward()
    expected, weight.grad = weight.grad, None
    (weight @ x).sum().backward()
    penalty = Penalty(l1, l2, [weight])
    penalty.add_gradients()
    torch.testing.assert_close(weight.grad, expected)
    assert penalty.value() == pytest.approx((l1 * weight.abs().sum() + l2 * weight.square().sum()).item())
