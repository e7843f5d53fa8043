"""Which parameters moved the value."""

from pathlib import Path

from assay.search.importance import FEWEST, importance_of
from searches import drive, opened


def test_importance_finds_what_moves_the_value_and_says_how_sure_that_is(tmp_path: Path) -> None:
    with opened(tmp_path, 40, reduction=2, min_epochs=3) as study:
        drive(study)
        tried = [each for each in study.tried() if each.number]
        found = importance_of(study.space.distributions, tried)
        few = importance_of(study.space.distributions, tried[:16])
    assert found is not None
    assert few is not None
    assert (found.epoch, found.num_trials) == (3, 39)
    shares = found.shares
    assert max(shares, key=lambda name: shares[name].value) == "optimizer.lr"
    assert shares["optimizer.lr"].value > 0.4
    assert max(shares["dropout"].value, shares["activation"].value) < 0.2, "they move nothing here"
    for share in shares.values():
        assert 0 <= share.low <= share.value <= share.high <= 1
    assert shares["optimizer.lr"].low > shares["activation"].high
    widths = [one.shares["optimizer.lr"].high - one.shares["optimizer.lr"].low for one in (few, found)]
    assert widths[0] > widths[1], "of fewer trials it is less sure"


def test_of_too_few_trials_nothing_is_said(tmp_path: Path) -> None:
    with opened(tmp_path, FEWEST - 1) as study:
        drive(study)
        assert importance_of(study.space.distributions, study.tried()) is None
