"""The Gaussian process: its slopes, what it makes of points, and that ranks are all it sees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import check_grad
from scipy.spatial.distance import cdist
from scipy.stats import norm

from assay.search.surrogate import Surrogate, _evidence, _log_h, normal_scores


def sample(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    points = rng.random((count, 3))
    return points, -((points[:, 0] - 0.3) ** 2) + 0.01 * rng.standard_normal(count)


def test_the_slope_of_the_evidence_is_its_slope() -> None:
    points, values = sample(12)
    squares = np.stack([cdist(points[:, [at]], points[:, [at]], "sqeuclidean") for at in range(3)], -1)
    for packed in ([-1.0, 0.0, 1.0, 0.2, -3.0], [0.0, 0.0, 0.0, 0.0, 0.0]):
        off = check_grad(
            lambda at: _evidence(at, squares, normal_scores(values))[0],
            lambda at: _evidence(at, squares, normal_scores(values))[1],
            np.array(packed),
        )
        assert off < 1e-4


def test_it_finds_the_peak_and_what_does_not_matter() -> None:
    points, values = sample(40)
    model = Surrogate(points, values, [1, 1, 1])
    line = np.column_stack([np.linspace(0, 1, 101), np.full(101, 0.5), np.full(101, 0.5)])
    assert line[np.argmax(model.predict(line)[0]), 0] == pytest.approx(0.3, abs=0.1)
    assert model.scales.lengths[0] < min(model.scales.lengths[1:]), "the first parameter moves it most"


def test_it_is_sure_where_it_was_and_not_far_away() -> None:
    points, values = sample(20)
    model = Surrogate(points * 0.2, values, [1, 1, 1])
    near, far = model.predict(points[:1] * 0.2)[1], model.predict(np.ones((1, 3)))[1]
    assert near < far / 2


@given(st.integers(0, 1000))
def test_only_the_order_of_values_counts(seed: int) -> None:
    points, values = sample(8, seed)
    lengths = Surrogate(points, values, [1, 1, 1]).scales.lengths
    np.testing.assert_allclose(Surrogate(points, np.exp(5 * values) - 7, [1, 1, 1]).scales.lengths, lengths)


def test_believing_makes_it_surer_there_and_changes_no_mean() -> None:
    points, values = sample(15)
    model, there = Surrogate(points, values, [1, 1, 1]), np.array([[0.9, 0.9, 0.9]])
    further = model.believing(there)
    assert further.predict(there)[1] < model.predict(there)[1]
    np.testing.assert_allclose(further.predict(points)[0], model.predict(points)[0], atol=1e-6)


def test_a_failure_is_the_worst_and_no_more() -> None:
    assert np.isfinite(normal_scores(np.array([-np.inf, 0.1, 0.2, -np.inf]))).all()
    assert normal_scores(np.array([-np.inf, 0.1, 0.2])).argmin() == 0


@pytest.mark.parametrize("z", [3.0, 0.0, -0.9999, -1.0001, -3.0, -6.0])
def test_the_logarithm_of_the_improvement_is_its_integral(z: float) -> None:
    expected = quad(lambda at: (z + at) * norm.pdf(at), -z, 12)[0]
    assert _log_h(np.array([z]))[0] == pytest.approx(np.log(expected), abs=1e-5)


def test_the_logarithm_of_the_improvement_falls_without_a_jump() -> None:
    z = np.linspace(5, -60, 2000)
    assert (np.diff(_log_h(z)) < 0).all()
    assert np.abs(np.diff(_log_h(z), 2)).max() < 0.01
