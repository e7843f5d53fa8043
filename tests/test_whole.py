"""What is there whole or not at all."""

from pathlib import Path

import pytest

from assay.errors import InputError
from assay.whole import results_of, write_whole
from disks import small_disk

NAMES = ("report.json", "data", "metrics.json")


def fill(folder: Path, text: str) -> None:
    (folder / "data").mkdir(parents=True)
    for name in ("report.json", "data/a", "metrics.json"):
        (folder / name).write_text(text)


def written(folder: Path) -> dict[str, str]:
    return {str(each.relative_to(folder)): each.read_text() for each in folder.rglob("*") if each.is_file()}


def stop(out: Path, error: BaseException) -> None:
    with results_of(out, NAMES) as partial:
        fill(partial, "new")
        raise error


def test_results_take_the_place_of_former_ones_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "a/b"
    for text in ("old", "new"):
        with results_of(out, NAMES) as partial:
            fill(partial, text)
        assert written(out) == dict.fromkeys(("report.json", "data/a", "metrics.json"), text)
        (out / "data/b").write_text("of a former run")
    (out / "mine").write_text("a person's")
    with results_of(out, NAMES) as partial:
        fill(partial, "newer")
    assert set(written(out)) == {"report.json", "data/a", "metrics.json", "mine"}


@pytest.mark.parametrize("last", ["metrics.json", "data"])
def test_where_moving_fails_what_says_that_all_is_there_is_gone(last: str, tmp_path: Path) -> None:
    fill(tmp_path, "old")
    names = [*(name for name in NAMES if name != last), last]
    with pytest.raises(FileNotFoundError, match="absent"), results_of(tmp_path, ["absent", *names]) as partial:
        fill(partial, "new")
    assert not (tmp_path / last).exists() and not (tmp_path / ".partial").exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_stops_the_writer_leaves_former_results(error: type[BaseException], tmp_path: Path) -> None:
    fill(tmp_path, "old")
    with pytest.raises(error, match="enough"):
        stop(tmp_path, error("enough"))
    assert set(written(tmp_path).values()) == {"old"} and not (tmp_path / ".partial").exists()


def test_a_full_disk_is_one_sentence_about_the_place(tmp_path: Path) -> None:
    out = tmp_path / "small"
    with small_disk(out):
        fill(out, "old")
        with pytest.raises(InputError, match=r"small: the disk is full"), results_of(out, NAMES) as partial:
            (partial / "report.json").write_bytes(b"x" * 200_000)
        with pytest.raises(InputError, match=r"report\.json: cannot be written \(No space left on device\)"):
            write_whole(b"x" * 200_000, out / "report.json")
        assert set(written(out).values()) == {"old"}, "and nothing beside it"
