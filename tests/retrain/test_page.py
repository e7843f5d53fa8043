"""The page of a retraining: it tells every part that there is, in words, and needs no network."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assay.data.dataset import About
from assay.modality import Spec
from assay.retrain.page import write_page
from assay.retrain.pictures import apart
from assay.retrain.told import MOST, Apart, Data, Ruled, Told, differing, winners
from pages import Tags

HOSTILE = "<script>alert('1')</script>"
AT = 1_795_836_000.0


def pictured(count: int, classes: tuple[str, ...]) -> tuple[list[Apart], int]:
    """`count` drawn samples, of which the first model has one half right and the other the other."""
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (count, 1, 16, 16), dtype=np.uint8)
    about = About(
        Spec("image", (1, 16, 16), "uint8", ("channel", "height", "width")),
        "classification",
        ("label",),
        classes,
        {"test": count},
        "v",
    )
    one, other = (np.eye(len(classes))[np.arange(count) % 2 ^ flip] for flip in (0, 1))
    names = [f"{HOSTILE}{row}.png" for row in range(count)]
    return apart(about, samples, names, np.zeros(count, np.int64), one, other)


def whole() -> Told:
    """All that can be told."""
    shown, count = pictured(40, ("0", HOSTILE))
    return Told(
        model="digits",
        kind="promoted",
        at=AT,
        sentence="the challenger is shown to be better and is champion now.",
        version=7,
        champion=7,
        why="312 new samples to learn from, beside 3,500 before: more than retrain.new_samples, 5%.",
        missed=2,
        data=Data(
            {"train": 3500, "test": 750},
            {"train": 3812, "test": 801},
            363,
            4,
            {"0": 500, "1": 500, "gone": 10},
            {"0": 520, "1": 560, HOSTILE: 40},
        ),
        drift=("the share of '1' grew from 49.5% to 50%, p 0.004.", HOSTILE),
        recipe_before={"dropout": 0.2, "optimizer.lr": 3e-3, "backbone": "cnn"},
        recipe_now={"dropout": 0.31234567, "optimizer.lr": 3e-3, "backbone": "mlp", "clip_norm": None},
        validation="accuracy 0.9700 beside 0.9610 on 780 samples, p 0.04.",
        test=Ruled("the challenger is shown to be better.", "accuracy", 0.012, 0.003, 0.021, 0.005, 0.00096, 47),
        vetoes=("the slice 'night' is worse by 2 points.",),
        apart=shown,
        num_apart=count,
    )


@pytest.fixture
def tags(tmp_path: Path) -> Tags:
    return Tags(write_page(whole(), tmp_path / "report.html").read_text(encoding="utf-8"))


def test_it_tells_every_part(tags: Tags) -> None:
    for words in (
        "digits",
        "promoted",
        "champion is version 7",
        "2 retrainings before this one did not run.",
        "312 new samples to learn from",
        "363 new samples, 4 gone.",
        "3,812",
        "the share of '1' grew",
        "dropout",
        "0.31235",
        "the challenger is shown to be better.",
        "α of this look 0.0010; 47 looks left this year.",
        "the slice 'night' is worse",
        "On 40 samples of validation the two differ; 24 are shown",
    ):
        assert words in tags.text, words


def test_it_shows_what_changed_in_the_recipe_and_nothing_else(tags: Tags) -> None:
    assert "backbone" in tags.text
    assert "clip_norm" in tags.text
    assert "optimizer.lr" not in tags.text


def test_new_and_gone_classes_are_told_apart(tags: Tags) -> None:
    assert f"New: {HOSTILE}." in tags.text
    assert [attrs for tag, attrs in tags.found if tag == "tr" and attrs.get("class") == "new"]
    assert "gone" in tags.text


def test_it_needs_no_network_and_runs_no_script(tags: Tags) -> None:
    assert {tag for tag, _ in tags.found} & {"script", "iframe", "object", "form", "base"} == set()
    links = [value for _, attrs in tags.found for name, value in attrs.items() if name in ("src", "href")]
    assert links
    assert all(link is not None and link.startswith("data:") for link in links)
    (policy,) = [attrs["content"] for tag, attrs in tags.found if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert not [name for _, attrs in tags.found for name in attrs if name.startswith("on")]


def test_the_gain_is_drawn_between_its_ends_beside_no_gain_and_the_margin(tags: Tags) -> None:
    lines = {attrs["class"]: attrs for tag, attrs in tags.found if tag == "line"}
    (circle,) = [attrs for tag, attrs in tags.found if tag == "circle"]
    zero, margin = (float(lines[kind]["x1"] or 0) for kind in ("zero", "margin"))
    low, high = (float(lines["reach"][end] or 0) for end in ("x1", "x2"))
    assert margin < zero < low < float(circle["cx"] or 0) < high
    (label,) = [attrs["aria-label"] for tag, attrs in tags.found if tag == "svg"]
    assert label == "gain in accuracy +0.012, from +0.003 to +0.021"


@pytest.mark.parametrize("low, value, high, margin", [(0, 0, 0, 0), (-1, -0.5, 0, 0.005), (1e9, 2e9, 3e9, 1e-9)])
def test_any_gain_stays_on_the_picture(low: float, value: float, high: float, margin: float, tmp_path: Path) -> None:
    told = Told("m", "kept", AT, test=Ruled("so.", "rmse", value, low, high, margin))
    text = write_page(told, tmp_path / "page.html").read_text(encoding="utf-8")
    places = [float(place) for place in re.findall(r'(?:x1|x2|cx)="([-\d.]+)"', text)]
    assert len(places) >= 7
    assert all(0 <= place <= 640 for place in places)


def test_what_there_is_nothing_to_tell_of_is_left_out(tmp_path: Path) -> None:
    tags = Tags(write_page(Told("m", "nothing new", AT), tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "h2" not in {tag for tag, _ in tags.found}
    assert "nothing new" in tags.text


def test_a_recipe_that_stayed_says_so(tmp_path: Path) -> None:
    told = Told("m", "kept", AT, recipe_before={"lr": 1}, recipe_now={"lr": 1})
    text = write_page(told, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "field by field" in text


class TestPictures:
    def test_each_is_drawn_and_says_who_is_right(self, tmp_path: Path) -> None:
        shown, count = pictured(6, ("cat", "dog"))
        assert count == len(shown) == 6
        assert [one.right for one in shown] == ["challenger", "champion"] * 3
        for one in shown:
            assert one.truth == "cat"
            assert {one.champion, one.challenger} == {"cat", "dog"}
            assert getattr(one, one.right) == "cat"
            (tmp_path / "x.png").write_bytes(one.png)
            with Image.open(tmp_path / "x.png") as picture:
                assert picture.size == (160, 160)

    @pytest.mark.parametrize(
        "task, classes, targets, outputs, said",
        [
            (
                "multilabel",
                ("a", "b", "c", "d"),
                [[1, 1, 0, 0]],
                [[2, -2, -2, -2], [2, 2, 2, 2]],
                ("a, b", "a, b, c and 1 more", "a"),
            ),
            ("multilabel", ("a", "b"), [[0, 0]], [[-2, -2], [2, -2]], ("none", "a", "none")),
            ("regression", None, [[1.5]], [[1.23456], [2.0]], ("1.5", "2", "1.235")),
        ],
    )
    def test_other_tasks_are_said_in_their_words(
        self,
        task: str,
        classes: tuple[str, ...] | None,
        targets: list[list[float]],
        outputs: list[list[float]],
        said: tuple[str, str, str],
    ) -> None:
        about = About(
            Spec("image", (1, 4, 4), "uint8", ("channel", "height", "width")), task, ("size",), classes, {}, "v"
        )
        challenger, champion = (np.array([each]) for each in outputs)
        samples = np.zeros((1, 1, 4, 4), np.uint8)
        (one,), _ = apart(about, samples, ["x"], np.array(targets), challenger, champion)
        assert (one.truth, one.champion, one.challenger) == said


class TestDiffering:
    def test_those_that_one_has_right_come_first_in_turn_the_clearest_before(self) -> None:
        targets = np.array([0, 0, 0, 0, 0, 1])
        wide = {"yes": [4.0, 0, 0], "barely": [0.1, 0, 0], "no": [0, 4.0, 0], "never": [0, 0, 4.0]}
        challenger = np.array([wide[each] for each in ("barely", "yes", "no", "no", "yes", "yes")])
        champion = np.array([wide[each] for each in ("no", "no", "yes", "never", "yes", "never")])
        rows, count = differing("classification", challenger, champion, targets)
        assert winners("classification", challenger, champion, targets).tolist() == [1, 1, -1, 0, 0, 0]
        assert rows[:2] == [1, 2]
        assert rows[2] == 0
        assert set(rows[3:]) == {3, 5}
        assert count == 5, "both say the same of sample 4"

    def test_a_hundred_that_were_won_hide_no_loss(self) -> None:
        targets = np.zeros(103, np.int64)
        challenger, champion = np.tile([2.0, 0], (103, 1)), np.tile([0, 2.0], (103, 1))
        challenger[100:], champion[100:] = [0, 0.1], [0.1, 0]
        rows, count = differing("classification", challenger, champion, targets)
        assert len(rows) == MOST
        assert count == 103
        assert set(rows[1:6:2]) == {100, 101, 102}

    def test_models_that_agree_differ_nowhere(self) -> None:
        outputs = np.random.default_rng(0).normal(size=(20, 3))
        assert differing("classification", outputs, outputs, np.zeros(20, np.int64)) == ([], 0)

    def test_outputs_of_any_size_are_told_apart(self) -> None:
        challenger, champion = np.array([[1e4, -1e4]]), np.array([[-30.0, 1e4]])
        assert differing("classification", challenger, champion, np.array([0])) == ([0], 1)

    def test_of_numbers_the_smaller_error_is_right(self) -> None:
        targets, champion = np.array([[1.0], [1.0], [1.0]]), np.array([[2.0], [1.1], [1.0]])
        challenger = np.array([[1.1], [2.0], [1.0]])
        assert differing("regression", challenger, champion, targets) == ([0, 1], 2)
