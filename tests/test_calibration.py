"""The temperature of probabilities: found where it is known, and never to the harm of those it was found on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from assay.calibration import HIGHEST, LOWEST, NONE, fitted
from assay.outputs import probabilities

N, K = 4000, 5


def drawn(task: str, seed: int, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are right about how sure they are, and targets that were drawn by them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=spread, size=(N, K)).astype(np.float32)
    said = probabilities(task, logits)
    if task == "multilabel":
        return logits, (rng.random((N, K)) < said).astype(np.float32)
    return logits, (rng.random((N, 1)) > said.cumsum(1)).sum(1).clip(max=K - 1)


@pytest.mark.parametrize("task", ["classification", "multilabel"])
@pytest.mark.parametrize("known", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_again(task: str, known: float) -> None:
    logits, targets = drawn(task, seed=1)
    assert fitted(task, (logits * known).astype(np.float32), targets) == pytest.approx(known, rel=0.1)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100), count=st.integers(2, 40))
def test_it_never_makes_the_loss_of_its_own_samples_larger(seed: int, scale: float, count: int) -> None:
    logits, targets = drawn("classification", seed)
    logits, targets = (logits[:count] * scale).astype(np.float32), targets[:count]
    found = fitted("classification", logits, targets)
    assert LOWEST <= found <= HIGHEST
    before, after = (
        -log_softmax(logits.astype(np.float64) / one, axis=1)[np.arange(count), targets].mean() for one in (1.0, found)
    )
    assert after <= before + 1e-9


def test_where_no_mistake_was_seen_nothing_is_known_of_them() -> None:
    logits = np.array([[2.0, -1.0], [-0.5, 0.5]], dtype=np.float32)
    assert fitted("classification", logits, np.array([0, 1])) == NONE
    assert fitted("multilabel", logits, (logits > 0).astype(np.float32)) == NONE


def test_numbers_have_none() -> None:
    assert fitted("regression", np.zeros((4, 1), np.float32), np.ones((4, 1), np.float32)) == NONE
