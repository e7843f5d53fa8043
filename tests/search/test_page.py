"""The page of a search: it shows every trial, says in words what it draws, and needs no network."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from assay.finals import Finals
from assay.search import page, pictures
from assay.search.page.charts import Seen
from assay.search.page.svg import Scale, as_words, round_values
from assay.search.page.timeline import round_times, timeline
from assay.search.select import Choice, second_half, winner
from assay.search.stays import Clock
from assay.search.study import Study
from assay.search.trial import Stay
from pages import Tags
from searches import drive, opened, params_of


def written(study: Study, out: Path) -> str:
    return page.write_page(study, Choice(winner(study)), out).read_text(encoding="utf-8")


def timed(study: Study, most: int | None = None, since: float = 1000.0) -> None:
    """As `drive`, on two workers that take turns, each trial half a minute after the last."""
    while most != 0 and (asked := study.ask()) is not None:
        most = None if most is None else most - 1
        begin = since + 30 * asked.number
        study.seen(asked.number, f"machine/{asked.number % 2}", begin, begin + 25)
        study.report(asked.number, 1, 0.5 + asked.number / 100, 20.0, finished=True)


@pytest.mark.parametrize("trials", [1, 3, 12])
def test_the_page_shows_every_trial_and_says_each_picture_in_words(tmp_path: Path, trials: int) -> None:
    with opened(tmp_path, trials) as study:
        drive(study)
        tags = Tags(written(study, tmp_path))
        tried = study.tried()
    rows = [attrs["data-t"] for attrs in tags.of("tr") if "data-t" in attrs]
    assert rows == [str(number) for number in range(trials)]
    pictures = tags.of("svg")
    assert len(pictures) >= 2 + len(study.space.parameters)
    assert all(attrs["role"] == "img" and len(attrs["aria-label"] or "") > 20 for attrs in pictures)
    curves = {attrs["data-t"] for attrs in tags.of("g") if "data-t" in attrs}
    assert curves == {str(each.number) for each in tried}


def test_the_page_asks_nothing_of_a_network(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        drive(study)
        text = written(study, tmp_path)
    tags = Tags(text)
    assert [attrs for _, attrs in tags.found if "src" in attrs] == []
    assert [attrs["href"] for _, attrs in tags.found if "href" in attrs] == ["data:,"]
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp", text)
    assert "default-src 'none'" in str(tags.of("meta")[1]["content"])


def test_the_page_says_who_won_beside_the_base_and_what_differs(tmp_path: Path) -> None:
    with opened(tmp_path, 12) as study:
        drive(study)
        won = winner(study)
        text = written(study, tmp_path)
    assert won.number > 0
    assert f"Trial {won.number} won: validation accuracy <b>{won.score:.4f}</b>" in text
    assert "<dt>optimizer.lr</dt>" in text


def test_the_same_study_makes_the_same_page(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        timed(study)
        assert written(study, tmp_path) == written(study, tmp_path)


def test_what_a_failure_says_cannot_write_into_the_page(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        drive(study, 1)
        asked = study.ask()
        assert asked is not None
        study.fail(asked.number, 0.1, "<script>alert('x')</script>")
        drive(study)
        text = written(study, tmp_path)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_a_parameter_that_does_not_count_has_no_mark_in_its_slice(tmp_path: Path) -> None:
    space = {
        "optimizer.name": {"choices": ["adam", "momentum"]},
        "optimizer.momentum": {"low": 0.5, "high": 0.9, "when": {"optimizer.name": ["momentum"]}},
    }
    with opened(tmp_path, 8, space=space) as study:
        drive(study)
        text = written(study, tmp_path)
        counting = [each for each in study.tried() if "optimizer.momentum" in study.values_of(each.number, each.drawn)]
        drawn = [each for each in counting if "optimizer.momentum" in each.drawn]
    assert 0 < len(drawn) < 8
    assert f"accuracy against optimizer.momentum, of {len(drawn)} trials in which it counts" in text


def test_of_too_many_trials_the_pictures_show_the_best_and_the_table_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST", 20)
    monkeypatch.setattr(page, "BEST", 5)
    with opened(tmp_path, 40) as study:
        drive(study)
        text = written(study, tmp_path)
        won = winner(study)
    tags = Tags(text)
    assert len([attrs for attrs in tags.of("tr") if "data-t" in attrs]) == 40
    curves = {attrs["data-t"] for attrs in tags.of("g") if "data-t" in attrs}
    assert {"0", str(won.number)} <= curves
    assert len(curves) <= 20
    assert f"The pictures show {len(curves)} of the trials" in text


def test_workers_stand_one_below_the_other_with_what_ran_on_them(tmp_path: Path) -> None:
    with opened(tmp_path, 4) as study:
        timed(study)
        text = written(study, tmp_path)
    assert "4 trials in 1 min 55 s on 2 workers, begun 1970-01-01 00:16 UTC" in text
    assert [attrs["data-t"] for attrs in Tags(text).of("rect") if "data-t" in attrs] == ["0", "1", "2", "3"]
    assert "<td>machine/1</td>" in text


def test_a_night_between_two_halves_of_a_search_is_cut_out(tmp_path: Path) -> None:
    with opened(tmp_path, 4) as study:
        timed(study, 2)
        timed(study, since=40000.0)
        tried = study.tried()
        values = {each.number: study.values_of(each.number, each.drawn) for each in tried}
        picture, said = timeline(Seen(study, tried, winner(study), values))
    assert "pauses in which nothing ran, 10 h 50 min in all, are cut out" in said
    assert 'class="cut"' in picture


def test_the_timeline_is_a_picture_too(tmp_path: Path) -> None:
    def colours() -> set[str]:
        with Image.open(tmp_path / "timeline.png") as picture:
            return {f"#{bytes(colour).hex()}" for _, colour in picture.convert("RGB").getcolors(2**24) or []}

    with opened(tmp_path, 4) as study:
        timed(study)
        pictures.draw(study, winner(study), tmp_path)
    assert {pictures.ORANGE, pictures.BLUE} <= colours()
    with opened(tmp_path, 4, version="another") as study:
        drive(study)
        pictures.draw(study, winner(study), tmp_path)
    assert not {pictures.ORANGE, pictures.BLUE} & colours()  # no times are kept


def test_a_study_without_times_says_so(tmp_path: Path) -> None:
    with opened(tmp_path) as study:
        drive(study)
        assert "Of this search no times are kept." in written(study, tmp_path)


def test_the_clock_counts_what_runs_side_by_side_once() -> None:
    clock = Clock([Stay("a", 10, 20), Stay("b", 12, 30), Stay("a", 30, 40)])
    assert (clock(10), clock(40), clock.cuts) == (0, 30, [])


def test_a_search_that_had_nothing_to_try_says_so_on_its_page(tmp_path: Path) -> None:
    assert "the base recipe stands" in page.write_nothing(tmp_path).read_text()


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.972, 0.985, [0.975, 0.98, 0.985]), (5, 5, [5])],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert round_values(low, high, 5) == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1e-8, 1e-4, [1e-8, 1e-7, 1e-6, 1e-5, 1e-4]),
        (5e-4, 1e-2, [5e-4, 1e-3, 2e-3, 5e-3, 1e-2]),
        (0.3, 0.4, [0.3, 0.32, 0.34, 0.36, 0.38, 0.4]),
    ],
)
def test_ticks_of_magnitudes_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert Scale(low, high, 0, 100, log=True).ticks() == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("length", "ticks"),
    [(5, [0, 1, 2, 3, 4, 5]), (396, [0, 60, 120, 180, 240, 300, 360]), (9000, [0, 1800, 3600, 5400, 7200, 9000])],
)
def test_ticks_of_time_are_those_of_a_clock(length: float, ticks: list[float]) -> None:
    assert round_times(length, 5) == ticks


@pytest.mark.parametrize("length", [1e-3, 0.7, 1e5, 1e7])
def test_any_length_of_time_has_a_few_ticks(length: float) -> None:
    assert 2 <= len(round_times(length, 5)) <= 12


def test_what_lies_outside_a_scale_stands_at_its_edge() -> None:
    scale = Scale(0.9, 1.0, 200, 0)
    assert (scale(0.95), scale(0.1), scale(1.0)) == (pytest.approx(100), 200, 0)
    assert not scale.holds(0.1)


def test_a_smaller_value_that_is_better_is_seen_so(tmp_path: Path) -> None:
    params = params_of(6)
    with Study(tmp_path, params.search, params.recipe, "loss", "min", "v") as study:
        drive(study)
        won = winner(study)
        values = {each.number: study.values_of(each.number, each.drawn) for each in study.tried()}
        seen = Seen(study, study.tried(), won, values)
        colour = seen.colours()
        assert colour(won) == "#08306b"
        assert seen.of_scores(100, 0).holds(won.score)


@pytest.mark.parametrize(
    ("others", "sign", "low", "high"),
    [
        ([], 1, 0.5 - 0.032, 0.9 + 0.032),  # nothing is worse, and no room is kept for it
        ([0.4], 1, 0.4 - 0.032, 0.9 + 0.032),
        ([-3.0], 1, 0.1, 0.9 + 0.032),  # far off: at the edge
        ([1.0], -1, 0.5 - 0.032, 1.0 + 0.032),
        ([9.0], -1, 0.5 - 0.032, 1.3),
    ],
)
def test_the_range_that_matters_has_no_room_for_what_is_not_there(
    others: list[float], sign: int, low: float, high: float
) -> None:
    assert pictures.range_that_matters([0.5, 0.9], others, sign) == pytest.approx((low, high))


def words_of(figure: Figure) -> list[tuple[str, Bbox]]:
    """What stands on a picture along its axes, and where."""
    FigureCanvasAgg(figure).draw()
    found = []
    for axis in (axis for axes in figure.axes if axes.get_visible() for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()] if low <= tick.get_loc() <= high]
        found += [each for tick in ticks for each in (tick.label1,) if each.get_visible() and each.get_text()]
    return [(each.get_text(), each.get_window_extent()) for each in found]


def drawn(drawing: Callable[..., None], study: Study) -> list[tuple[str, Bbox]]:
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    drawing(figure, study, study.tried(), winner(study))
    return words_of(figure)


BACKBONES = ["tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2", "cnn"]
OPTIMIZERS = ["adam", "adamw", "nadam", "rmsprop", "sgd", "momentum", "nesterov", "adagrad", "lion"]
WORDY = {
    "backbone": {"choices": BACKBONES},
    "optimizer.name": {"choices": OPTIMIZERS},
    "optimizer.lr": {"low": 1e-3, "high": 9e-3, "log": True},
    "regularization.l1": {"low": 1e-8, "high": 1e-1, "log": True},
}


def test_values_below_a_slice_stand_in_full_and_not_on_each_other(tmp_path: Path) -> None:
    with opened(tmp_path, 9, space=WORDY) as study:
        timed(study)
        words = drawn(pictures._slices, study)
        text = written(study, tmp_path)
    assert {*BACKBONES, *OPTIMIZERS} <= {word for word, _ in words}
    for at, (word, box) in enumerate(words):
        assert not [other for other, place in words[at + 1 :] if box.overlaps(place)], word
    assert all(text.count(f">{choice}</text>") == 2 for choice in [*BACKBONES, *OPTIMIZERS]), "slices, which values led"


@pytest.mark.parametrize("drawing", [pictures._history, pictures._curves, pictures._timeline])
def test_of_one_trial_whole_numbers_stay_whole_and_are_said_once(tmp_path: Path, drawing: Callable[..., None]) -> None:
    with opened(tmp_path, 1) as study:
        timed(study)
        words = [word for word, _ in drawn(drawing, study)]
        assert "1 trial (1 complete), 1 epoch." in written(study, tmp_path)
    assert len(set(words)) == len(words)
    assert ("1" if drawing != pictures._history else "0") in words


def test_the_winner_of_the_finals_is_not_called_the_best_of_the_search(tmp_path: Path) -> None:
    with opened(tmp_path, 6) as study:
        timed(study)
        figure = Figure(layout="constrained")
        pictures._history(figure, study, study.tried(), study.tried()[2])
    assert figure.axes[0].get_title(loc="left") == "6 trials; trial 2 won, accuracy 0.5200 in search"


def test_the_page_says_how_sure_the_finals_are_and_what_more_trials_might_bring(tmp_path: Path) -> None:
    with opened(tmp_path, 8, pruner="none") as study:
        drive(study)
        finals = Finals("small", {each.number: each.score for each in study.tried()}, 1, 0)
        while wanted := finals.wanted():
            for number, seed in wanted:
                finals.tell(number, seed, 0.5 + number / 100 + ((7 * number + 3 * seed) % 5) / 200)
        verdict = finals.verdict(0.95)
        text = page.write_page(study, Choice(winner(study), finals, verdict), tmp_path).read_text(encoding="utf-8")
        brought = second_half(study)
    assert verdict.p_better is not None and verdict.over_runner_up is not None and verdict.runner_up is not None
    by = verdict.over_runner_up
    assert f"than the base recipe with a probability of {verdict.p_better:.1%} and better than the runner-up" in text
    assert f"trial {verdict.runner_up.number}, by {by.value:.4g} (95% interval {by.low:+.4g} to {by.high:+.4g})" in text
    assert f"The second half of them made the best score better by {brought:.4g}." in text


@pytest.mark.parametrize(
    ("ticks", "words"),
    [
        ([0.9, 0.95, 1.0], ["0.9", "0.95", "1"]),
        ([0.9309, 0.93095, 0.931], ["0.9309", "0.93095", "0.931"]),
        ([5], ["5"]),
    ],
)
def test_ticks_that_differ_are_said_so(ticks: list[float], words: list[str]) -> None:
    assert as_words(ticks) == words
