"""The loop's own scores against torchmetrics'."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics import functional as peer

from assay.params import METRICS_OF_TASK
from assay.scores import scores_of


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 60), classes=st.integers(2, 6))
def test_classification_scores_equal_torchmetrics(seed: int, count: int, classes: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    outputs, targets = torch.randn(count, classes, generator=rng), torch.randint(classes, (count,), generator=rng)
    scores = scores_of("classification", outputs, targets)
    accuracy = peer.accuracy(outputs, targets, task="multiclass", num_classes=classes, average="micro")
    assert scores["accuracy"] == pytest.approx(float(accuracy))
    present = targets.unique()
    recalls = peer.recall(outputs, targets, task="multiclass", num_classes=classes, average="none")[present]
    assert scores["balanced_accuracy"] == pytest.approx(float(recalls.mean()), abs=1e-6)
    seen = torch.cat([targets, outputs.argmax(1)]).unique()
    f1 = peer.f1_score(outputs, targets, task="multiclass", num_classes=classes, average="none")[seen]
    assert scores["f1"] == pytest.approx(float(f1.mean()), abs=1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_multilabel_scores_equal_torchmetrics(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    outputs, targets = torch.randn(40, 3, generator=rng), torch.randint(2, (40, 3), generator=rng)
    scores = scores_of("multilabel", outputs, targets.float())
    said = {"preds": outputs.sigmoid(), "target": targets, "num_labels": 3}
    assert scores["f1"] == pytest.approx(float(peer.f1_score(**said, task="multilabel", average="macro")), abs=1e-6)
    assert scores["accuracy"] == pytest.approx(float(peer.accuracy(**said, task="multilabel")), abs=1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_regression_scores_equal_torchmetrics(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    outputs, targets = torch.randn(2, 40, 3, generator=rng)
    scores = scores_of("regression", outputs, targets)
    assert scores["r2"] == pytest.approx(float(peer.r2_score(outputs, targets)), abs=1e-4)
    assert scores["mae"] == pytest.approx(float(peer.mean_absolute_error(outputs, targets)), abs=1e-5)
    assert scores["rmse"] == pytest.approx(float(peer.mean_squared_error(outputs, targets, squared=False)), abs=1e-5)


@pytest.mark.parametrize("task", METRICS_OF_TASK)
def test_every_metric_of_a_task_is_computed_or_is_the_loss(task: str) -> None:
    targets = torch.tensor([0, 1]) if task == "classification" else torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert set(METRICS_OF_TASK[task]) == {*scores_of(task, torch.randn(2, 2), targets), "loss"}
