"""What training reads is what lies there, whether resident or streamed, in one part or two."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from assay.data.dataset import Part, Split
from assay.feed import BLOCK_BYTES, Feed

CPU = torch.device("cpu")


def split_with(*counts: int) -> Split:
    """Samples that are told apart by their first value, in one part a count."""
    parts, begin = [], 0
    for count in counts:
        numbers = np.arange(begin, begin + count)
        samples = np.zeros((count, 1, 4, 4), np.uint8)
        samples[:, 0, 0, 0] = numbers % 251
        parts.append(Part(samples, np.full(count, 4, np.int32), numbers.astype(np.int64)))
        begin += count
    return Split(tuple(parts), np.zeros((counts[0], 16), np.uint8))


@given(
    first=st.integers(1, 300),
    second=st.integers(0, 200),
    batch_size=st.integers(1, 64),
    limit=st.sampled_from([0, None]),
)
def test_every_sample_comes_once_with_its_target(first: int, second: int, batch_size: int, limit: int | None) -> None:
    feed = Feed(split_with(first, second) if second else split_with(first), CPU, limit)
    order = torch.randperm(len(feed), generator=torch.Generator().manual_seed(first))
    blocks = list(feed.blocks(order, batch_size))
    assert torch.equal(torch.cat([block.target for block in blocks]), order)
    assert torch.equal(torch.cat([block.x[:, 0, 0, 0] for block in blocks]), (order % 251).float())
    assert all(len(block.x) % batch_size == 0 for block in blocks[:-1])


def test_larger_than_the_limit_is_streamed_and_smaller_is_not() -> None:
    split = split_with(100)
    assert not Feed(split, CPU, memory_limit=split.nbytes - 1).resident
    assert Feed(split, CPU, memory_limit=split.nbytes).resident


def test_a_block_is_bounded_whatever_the_data() -> None:
    split = Split(
        (Part(np.zeros((64, 3, 256, 256), np.uint8), np.zeros(64, np.int32), np.zeros(64, np.int64)),), np.empty(0)
    )
    blocks = list(Feed(split, CPU, None).blocks(torch.arange(64), batch_size=2))
    assert max(block.x.nbytes for block in blocks) <= BLOCK_BYTES


def test_pictures_come_channels_last_and_other_samples_as_they_are() -> None:
    rgb = Split((Part(np.zeros((8, 3, 5, 5), np.uint8), np.zeros(8, np.int32), np.zeros(8, np.int64)),), np.empty(0))
    (block,) = Feed(rgb, CPU, None).blocks(torch.arange(8), 8)
    assert block.x.is_contiguous(memory_format=torch.channels_last)
    text = Split((Part(np.zeros((8, 5), np.int32), np.zeros(8, np.int32), np.zeros(8, np.int64)),), np.empty(0))
    (block,) = Feed(text, CPU, None).blocks(torch.arange(8), 8)
    assert block.x.shape == (8, 5)


def test_samples_on_the_cpu_are_not_copied() -> None:
    split = split_with(10)
    feed = Feed(split, CPU, None)
    assert feed._parts[0].samples.data_ptr() == split.parts[0].samples.ctypes.data


def test_a_reader_that_fails_fails_the_training() -> None:
    feed = Feed(split_with(10), CPU, memory_limit=0)
    with pytest.raises(IndexError, match="out of bounds"):
        list(feed.blocks(torch.tensor([99]), 1))
