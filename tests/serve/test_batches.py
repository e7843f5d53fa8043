"""Requests that are computed together: in order, by the version each began with, and none that nobody waits for."""

import threading
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import judged
from assay.modality import Sample
from assay.serve.batches import Batches
from assay.serve.champion import Served


class Bright(nn.Module):
    """Says how bright a sample is, times `factor`; the first batch waits until it may go on."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.begun, self.goes_on = factor, threading.Event(), threading.Event()

    def forward(self, x: Tensor, _length: Tensor) -> Tensor:
        self.begun.set()
        self.goes_on.wait()
        return x.float().mean((1, 2, 3))[:, None] * self.factor


def served(factor: float) -> Served:
    trained = judged.trained("regression")
    return Served("assay", 1, replace(trained, model=Bright(factor)), 1.0, torch.device("cpu"))


def sample(value: int) -> Sample:
    return Sample(np.full((1, 28, 28), value, dtype=np.uint8), 28, (28, 28))


def many() -> int:
    """More requests have arrived than a batch has room for."""
    return 100


def found(futures: "list[Future[np.ndarray]]") -> list[list[float]]:
    return [one.result(60)[:, 0].tolist() for one in futures]


def test_what_comes_while_a_batch_is_computed_is_the_next_one() -> None:
    one, sizes = served(2.0), []
    batches = Batches(8, 0.0, many, sizes.append)
    first = batches.values(one, [sample(1)])
    one.trained.model.begun.wait()
    more = [batches.values(one, [sample(value), sample(value + 100)]) for value in range(2, 7)]
    one.trained.model.goes_on.set()
    assert found([first, *more]) == [[2.0]] + [[2.0 * value, 2.0 * value + 200] for value in range(2, 7)]
    assert sizes == [1, 8, 2]  # no batch beyond eight
    batches.close()


def test_a_batch_is_of_one_version_and_each_request_keeps_its_own() -> None:
    old, new, sizes = served(1.0), served(10.0), []
    batches = Batches(8, 0.0, many, sizes.append)
    first = batches.values(old, [sample(1)])
    old.trained.model.begun.wait()
    waiting = [batches.values(one, [sample(value)]) for value, one in enumerate((old, new, new, old), start=2)]
    for one in (old, new):
        one.trained.model.goes_on.set()
    assert found([first, *waiting]) == [[1.0], [2.0], [30.0], [40.0], [5.0]]
    assert sizes == [1, 1, 2, 1]
    batches.close()


def test_nothing_is_computed_for_who_does_not_wait_any_more() -> None:
    one, sizes = served(1.0), []
    batches = Batches(8, 0.0, many, sizes.append)
    first = batches.values(one, [sample(1)])
    one.trained.model.begun.wait()
    left, kept = batches.values(one, [sample(2)]), batches.values(one, [sample(3)])
    assert left.cancel()
    one.trained.model.goes_on.set()
    assert found([first, kept]) == [[1.0], [3.0]]
    assert sizes == [1, 1]
    batches.close()


def test_the_end_comes_after_what_waits() -> None:
    one = served(1.0)
    one.trained.model.goes_on.set()
    batches = Batches(2, 0.0, many, lambda _count: None)
    waiting = [batches.values(one, [sample(value)]) for value in range(7)]
    batches.close()
    assert all(future.done() for future in waiting)


def test_the_first_of_a_batch_waits_for_others_as_long_as_it_is_told() -> None:
    one, sizes = served(1.0), []
    one.trained.model.goes_on.set()
    batches = Batches(2, 60.0, many, sizes.append)
    assert found([batches.values(one, [sample(1)]), batches.values(one, [sample(2)])]) == [[1.0], [2.0]]
    assert sizes == [2]
    batches.close()


def test_where_all_that_arrived_are_in_it_a_batch_does_not_wait() -> None:
    one, sizes = served(1.0), []
    one.trained.model.goes_on.set()
    batches = Batches(8, 1e6, lambda: 1, sizes.append)
    assert found([batches.values(one, [sample(1)])]) == [[1.0]]
    batches.close()


def test_an_error_is_told_to_each_who_waits_and_the_thread_lives() -> None:
    one = served(1.0)
    one.trained.model.goes_on.set()
    batches = Batches(8, 0.0, many, lambda _count: None)
    wrong = batches.values(one, [Sample(np.zeros((3, 5), dtype=np.uint8), 5, (3, 5))])
    with pytest.raises(IndexError, match="Dimension out of range"):
        wrong.result(60)
    assert found([batches.values(one, [sample(4)])]) == [[4.0]]
    batches.close()
