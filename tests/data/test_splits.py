"""A split follows from content or group alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.data.splits import check_splits, content_key, split_of
from assay.errors import InputError
from assay.params import Splits

SHARES = Splits()
contents = st.sets(st.binary(min_size=1), max_size=50)  # stands in for the bytes of a picture


def assign(samples: set[bytes], shares: Splits = SHARES) -> dict[bytes, str]:
    return {sample: split_of(content_key(sample), None, shares, "s") for sample in samples}


@given(old=contents, new=contents)
def test_no_sample_changes_its_split_when_data_arrives(old: set[bytes], new: set[bytes]) -> None:
    before, after = assign(old), assign(old | new)
    assert before == {sample: after[sample] for sample in old}


@given(samples=contents)
def test_moving_shares_between_train_and_validation_leaves_test_as_it_is(samples: set[bytes]) -> None:
    other = Splits(train=0.6, validation=0.25, test=0.15)
    test = {sample for sample, split in assign(samples).items() if split == "test"}
    assert test == {sample for sample, split in assign(samples, other).items() if split == "test"}


@given(group=st.text(min_size=1), keys=st.lists(st.binary(min_size=16, max_size=16), min_size=2))
def test_a_group_stays_together_whatever_its_content(group: str, keys: list[bytes]) -> None:
    assert len({split_of(key, group, SHARES, "s") for key in keys}) == 1


def test_shares_are_met_within_what_hashing_gives() -> None:
    num = 20_000
    splits = [split_of(content_key(number.to_bytes(4)), None, SHARES, "s") for number in range(num)]
    for name, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
        assert abs(splits.count(name) - share * num) < 4 * (share * (1 - share) * num) ** 0.5


def test_splits_stay_what_they_were_across_versions() -> None:
    said = [split_of(content_key(bytes([number])), None, SHARES, "assay") for number in range(12)]
    assert said == [
        "validation",
        "train",
        "validation",
        "train",
        "train",
        "train",
        "train",
        "train",
        "validation",
        "train",
        "train",
        "validation",
    ]


def test_another_key_is_another_split() -> None:
    keys = [content_key(bytes([number])) for number in range(50)]
    one, other = ([split_of(key, None, SHARES, secret) for key in keys] for secret in ("a", "b" * 200))
    assert one != other


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((0.7, 0.2, 0.2), r"data\.splits: train 0\.7, validation 0\.2, test 0\.2 sum to 1\.1; they must sum to 1\."),
        ((0.5, 0.2, 0.2), r"sum to 0\.9"),
        ((0.8, 0.2, 0.0), r"data\.splits\.test: is 0; each of .* needs a share above 0"),
    ],
)
def test_shares_that_are_no_three_parts_of_one_are_refused(shares: tuple[float, float, float], said: str) -> None:
    train, validation, test = shares
    with pytest.raises(InputError, match=said):
        check_splits(Splits(train=train, validation=validation, test=test))
