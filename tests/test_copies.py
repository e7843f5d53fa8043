"""Copies on disk: how many, of whom, that they follow from content alone, and that training finds them."""

import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from assay.copies import Report, count_copies, generator, numbers_of_copies, write_copies
from assay.data.arrays import GrowingArray
from assay.data.dataset import open_prepared, read_about, read_split
from assay.errors import InputError
from assay.feed import Feed
from assay.params import Augment, Online, Policy
from prepared import content_keys, write_train
from samples import digits

POLICY = Policy(rotate=20.0, translate=0.1, noise=0.05)
SOME = np.arange(6)


def ignore(_done: int) -> None:
    pass


def written(
    base: Path,
    augment: Augment,
    rows: NDArray[np.int64] = SOME,
    task: str = "classification",
    online: Online | None = None,
) -> Report:
    """`base/data` prepared, `base/augment` written."""
    write_train(base / "data", rows, task)
    return write_copies(base / "data", augment, online or Online(), base / "augment", ignore)


def copies_by_content(base: Path) -> dict[bytes, list[bytes]]:
    """The content of each original → that of its copies, in order."""
    originals = np.load(base / "data/train/samples.npy")
    found: dict[bytes, list[bytes]] = {original.tobytes(): [] for original in originals}
    copies, origin = (np.load(base / f"augment/data/{name}.npy") for name in ("samples", "origin"))
    for copy, row in zip(copies, origin, strict=True):
        found[originals[row].tobytes()].append(copy.tobytes())
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestWhatIsWritten:
    def test_training_reads_the_copies_behind_the_originals(self, tmp_path: Path) -> None:
        report = written(tmp_path, Augment(copies=2, policy=POLICY))
        data = open_prepared(tmp_path / "data", tmp_path / "augment/data")
        originals, copies = data.train.parts
        assert (len(originals), len(copies), report.added) == (6, 12, 12)
        assert copies.samples.dtype == np.uint8 and copies.samples.shape[1:] == (1, 28, 28)
        origin = np.load(tmp_path / "augment/data/origin.npy")
        assert origin.tolist() == np.repeat(np.arange(6), 2).tolist()
        assert np.array_equal(copies.targets, originals.targets[origin])
        assert np.array_equal(copies.lengths, originals.lengths[origin])
        assert len(data.validation) == 8, "only the training split is copied"
        assert len(Feed(data.train, torch.device("cpu"), None)) == 18

    def test_copies_differ_from_their_originals_and_from_each_other(self, tmp_path: Path) -> None:
        written(tmp_path, Augment(copies=3, policy=POLICY))
        for original, copies in copies_by_content(tmp_path).items():
            assert len({original, *copies}) == 4

    def test_a_copy_is_what_the_policy_makes_of_its_original(self, tmp_path: Path) -> None:
        from assay.modality import of

        written(tmp_path, Augment(copies=2, policy=POLICY, seed=7))
        sample = np.load(tmp_path / "data/train/samples.npy")[5:6]
        key = np.load(tmp_path / "data/train/keys.npy")[5].tobytes()
        wanted = of("image").augment(POLICY)(torch.from_numpy(sample), torch.tensor([28]), generator(7, key, 1))
        assert np.array_equal(np.load(tmp_path / "augment/data/samples.npy")[11], wanted[0].numpy())

    def test_the_originals_are_not_touched(self, tmp_path: Path) -> None:
        write_train(tmp_path / "data", SOME)
        before = files(tmp_path / "data")
        write_copies(tmp_path / "data", Augment(copies=1, policy=POLICY), Online(), tmp_path / "augment", ignore)
        assert files(tmp_path / "data") == before

    def test_progress_ends_at_what_was_promised(self, tmp_path: Path) -> None:
        write_train(tmp_path / "data", SOME)
        augment, seen = Augment(copies=2, balance=True, policy=POLICY), list[int]()
        write_copies(tmp_path / "data", augment, Online(), tmp_path / "augment", seen.append)
        assert seen == sorted(seen) and seen[-1] == count_copies(tmp_path / "data", augment)

    @pytest.mark.parametrize("task", ["multilabel", "regression"])
    def test_every_task_can_be_copied(self, tmp_path: Path, task: str) -> None:
        report = written(tmp_path, Augment(copies=1, policy=POLICY), task=task)
        assert report.added == 6
        assert report.after == {name: 2 * count for name, count in report.before.items()}
        assert open_prepared(tmp_path / "data", tmp_path / "augment/data").train.targets.shape[0] == 12

    def test_nothing_to_copy_leaves_the_data_as_it_is(self, tmp_path: Path) -> None:
        report = written(tmp_path, Augment(policy=POLICY))
        assert report.added == 0 and [path.name for path in (tmp_path / "augment/data").iterdir()] == ["version.txt"]
        opened = open_prepared(tmp_path / "data", tmp_path / "augment/data")
        assert len(opened.train) == 6
        assert opened.about == read_about(tmp_path / "data")

    def test_what_an_earlier_run_wrote_is_replaced(self, tmp_path: Path) -> None:
        written(tmp_path, Augment(copies=2, policy=POLICY))
        write_copies(tmp_path / "data", Augment(), Online(), tmp_path / "augment", ignore)
        assert [path.name for path in (tmp_path / "augment/data").iterdir()] == ["version.txt"]

    def test_without_a_policy_the_report_says_that_copies_equal_their_originals(self, tmp_path: Path) -> None:
        report = written(tmp_path, Augment(copies=1))
        assert report.notes == ("augment.policy changes nothing: the copies equal their originals.",)

    def test_a_missing_data_set_is_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="there is no prepared data set; run `assay prepare` first"):
            write_copies(tmp_path / "none", Augment(), Online(), tmp_path / "augment", ignore)

    def test_a_killed_stage_leaves_nothing_that_could_be_taken_for_copies(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        append: Callable[..., None] = GrowingArray.append

        def interrupted(array: GrowingArray, row: NDArray[np.uint8]) -> None:
            append(array, row)
            if len(array) == 5:
                raise KeyboardInterrupt

        monkeypatch.setattr(GrowingArray, "append", interrupted)
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            written(tmp_path, Augment(copies=2, policy=POLICY))
        assert list((tmp_path / "augment").iterdir()) == []


class TestContent:
    def test_the_same_settings_write_the_same_bytes(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            written(tmp_path / name, Augment(copies=2, balance=True, policy=POLICY))
        assert files(tmp_path / "a/augment") == files(tmp_path / "b/augment")

    @settings(max_examples=12)  # each writes two data sets
    @given(data=st.data())
    def test_a_copy_follows_from_content_not_from_order_nor_neighbours(self, data: st.DataObject) -> None:
        import tempfile

        few = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=4, unique=True))
        more = data.draw(st.permutations(sorted({*few, 31, 32})))
        copies = data.draw(st.integers(1, 2))
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            write_train(base / "few/data", np.array(few))
            write_train(base / "more/data", np.array(more))
            for name, number in (("few", copies), ("more", copies + 1)):
                augment = Augment(copies=number, policy=POLICY)
                write_copies_without_a_sheet(base / name, augment)
            before, after = copies_by_content(base / "few"), copies_by_content(base / "more")
        assert all(after[original][:copies] == before[original] for original in before)

    def test_another_seed_gives_other_copies(self, tmp_path: Path) -> None:
        for name, seed in (("a", 0), ("b", 1)):
            written(tmp_path / name, Augment(copies=1, policy=POLICY, seed=seed))
        a, b = copies_by_content(tmp_path / "a"), copies_by_content(tmp_path / "b")
        assert all(a[original] != b[original] for original in a)

    def test_other_copies_are_another_version_of_the_data(self, tmp_path: Path) -> None:
        write_train(tmp_path / "data", SOME)
        versions = {read_about(tmp_path / "data").version}
        for augment in (
            Augment(copies=1, policy=POLICY),
            Augment(copies=2, policy=POLICY),
            Augment(copies=1, policy=POLICY, seed=1),
            Augment(copies=1, policy=Policy(rotate=5.0)),
        ):
            write_copies(tmp_path / "data", augment, Online(), tmp_path / "augment", ignore)
            versions.add(open_prepared(tmp_path / "data", tmp_path / "augment/data").about.version)
        assert len(versions) == 5
        write_copies(tmp_path / "data", Augment(policy=POLICY), Online(), tmp_path / "augment", ignore)
        assert open_prepared(tmp_path / "data", tmp_path / "augment/data").about == read_about(tmp_path / "data")

    def test_copies_of_other_originals_are_refused(self, tmp_path: Path) -> None:
        write_train(tmp_path / "data", SOME)
        copies = tmp_path / "augment/data"
        with pytest.raises(InputError, match=r"version\.txt: augment has not run; run `assay augment` first\."):
            open_prepared(tmp_path / "data", copies)
        for augment in (Augment(copies=1, policy=POLICY), Augment()):
            write_copies(tmp_path / "data", augment, Online(), tmp_path / "augment", ignore)
            about = open_prepared(tmp_path / "data", copies).about
            assert about.originals == read_about(tmp_path / "data").version
            text = (copies / "version.txt").read_text()
            (copies / "version.txt").write_text("x" + text)
            with pytest.raises(InputError, match=r"its copies are of other data than \S+; run `assay augment` again\."):
                open_prepared(tmp_path / "data", copies)


def write_copies_without_a_sheet(base: Path, augment: Augment) -> None:
    """The arrays alone: drawing is slow and no part of the law."""
    from assay.copies import _Originals, _write_arrays

    (base / "augment/data").mkdir(parents=True)
    _write_arrays(_Originals(base / "data", augment), augment.policy, base / "augment/data", ignore)


class TestBalance:
    ABOUT = digits(train=1, validation=1).about

    @given(
        targets=st.lists(st.integers(0, 9), min_size=1, max_size=60),
        copies=st.integers(0, 3),
        shuffle=st.randoms(use_true_random=False),
    )
    def test_every_class_is_filled_up_to_the_largest_evenly_and_by_content(
        self, targets: list[int], copies: int, shuffle: "np.random.Generator"
    ) -> None:
        labels = np.array(targets)
        keys = [row.tobytes() for row in content_keys(np.arange(len(labels), dtype=np.uint8)[:, None])]
        augment = Augment(copies=copies, balance=True)
        numbers = numbers_of_copies(self.ABOUT, labels, keys, augment)
        totals = np.bincount(labels, weights=1 + numbers)
        assert set(totals[totals > 0]) == {np.bincount(labels).max() * (1 + copies)}
        for label in set(targets):
            mine = numbers[labels == label]
            assert mine.min() >= copies and np.ptp(mine) <= 1
        order = list(range(len(labels)))
        shuffle.shuffle(order)  # type: ignore[arg-type]
        again = numbers_of_copies(self.ABOUT, labels[order], [keys[row] for row in order], augment)
        assert np.array_equal(again, numbers[order])

    def test_the_report_counts_each_class_before_and_after(self, tmp_path: Path) -> None:
        written(tmp_path, Augment(balance=True, policy=POLICY))
        said = json.loads((tmp_path / "augment/report.json").read_text(encoding="utf-8"))
        targets = read_split(tmp_path / "data", "train", tmp_path / "augment/data").targets
        assert said["before"] == {str(label): int((targets[:6] == label).sum()) for label in range(10)}
        assert said["after"] == {str(label): int((targets == label).sum()) for label in range(10)}
        assert len(set(said["after"].values()) - {0}) == 1
        assert (said["balance"], said["policy"]) == (True, {"rotate": 20.0, "translate": 0.1, "noise": 0.05})

    @pytest.mark.parametrize("task", ["multilabel", "regression"])
    def test_a_task_without_classes_is_one_sentence_and_nothing_is_written(self, tmp_path: Path, task: str) -> None:
        with pytest.raises(InputError, match=rf"^augment\.balance: .* the task is {task}; set it to false\.$"):
            written(tmp_path, Augment(balance=True, policy=POLICY), task=task)
        assert not (tmp_path / "augment").exists()


def test_a_full_disk_is_one_sentence_and_what_was_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, Augment(copies=1, policy=POLICY))
    before = {path: path.read_bytes() for path in (tmp_path / "augment").rglob("*") if path.is_file()}

    def full(_figure: object, path: Path) -> None:
        path.write_bytes(b"half of a picture")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("assay.copies.save", full)
    with pytest.raises(InputError, match=r"^.*/augment: the disk is full; free some space and run the same command"):
        write_copies(tmp_path / "data", Augment(copies=2, policy=POLICY), Online(), tmp_path / "augment", ignore)
    assert {path: path.read_bytes() for path in (tmp_path / "augment").rglob("*") if path.is_file()} == before


class TestSheet:
    def size_of(self, base: Path) -> tuple[int, int]:
        with Image.open(base / "augment/grid.png") as sheet:
            assert sheet.format == "PNG"
            return sheet.size

    def test_it_shows_a_row_a_class_and_a_column_a_copy(self, tmp_path: Path) -> None:
        for name, copies in (("two", 2), ("five", 5)):
            written(tmp_path / name, Augment(copies=copies, policy=POLICY), rows=np.arange(5))
        assert self.size_of(tmp_path / "five")[0] > self.size_of(tmp_path / "two")[0]
        written(tmp_path / "few", Augment(copies=2, policy=POLICY), rows=np.arange(1))
        assert self.size_of(tmp_path / "few")[1] < self.size_of(tmp_path / "two")[1]

    def test_where_nothing_is_copied_it_shows_what_training_would_do(self, tmp_path: Path) -> None:
        written(tmp_path / "on", Augment(policy=POLICY), np.arange(3), online=Online(erase=0.5))
        written(tmp_path / "off", Augment(policy=POLICY), np.arange(3), online=Online(erase=0.5, strength=0.0))
        assert self.size_of(tmp_path / "on")[0] > 1.5 * self.size_of(tmp_path / "off")[0]
