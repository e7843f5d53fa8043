"""Every wrong line of params.yaml gets one sentence with file, line, name, value and what would be right."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from assay.errors import InputError
from assay.params import Params, Recipe, Search, flat, named, nested, with_values
from assay.settings import explain, explain_rows, load, read_recipe, write_recipe
from assay.settings.wording import expected, literals, shown
from bad_values import NONSENSE, bad_values, bounds, fields

FIELDS = dict(fields())
SOUND = "search:\n  trials: 0\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def sentences(path: Path) -> list[str]:
    with pytest.raises(InputError, match=r"params\.yaml") as caught:
        load(path)
    return [sentence.removeprefix(f"{path.parent}/") for sentence in caught.value.sentences]


def settings_file(folder: Path, values: Mapping[str, Any]) -> tuple[Path, dict[str, int]]:
    """A params.yaml that sets `values`, and the line of each."""
    path = folder / "params.yaml"
    with path.open("w") as file:
        writer = YAML(typ="safe", pure=True)
        writer.default_flow_style = False
        writer.sort_base_mapping_type_on_output = False
        writer.dump(nested(dict(values) | {"search.trials": values.get("search.trials", 0)}), file)
    lines = path.read_text().splitlines()
    found, around = {}, []
    for number, line in enumerate(lines, 1):
        key = re.match(r"( *)([\w]+):", line)
        if key:
            around = [*around[: len(key[1]) // 2], key[2]]
            found[".".join(around)] = number
    return path, {name: found[name] for name in values}


BAD = {name: bad_values(field) for name, field in FIELDS.items()}


@pytest.mark.parametrize("turn", range(max(map(len, BAD.values()))))
def test_every_setting_refuses_what_its_constraint_excludes(turn: int, tmp_path: Path) -> None:
    """All settings wrong at once, each in its `turn`-th way: each gets its own sentence."""
    wrong = {name: values[turn] for name, values in BAD.items() if turn < len(values)}
    path, lines = settings_file(tmp_path, wrong)
    told = dict(zip(lines, sentences(path), strict=True))
    for name, said in told.items():
        field, value = FIELDS[name], wrong[name]
        assert said.startswith(f"params.yaml:{lines[name]}: {name} is {shown(value)}; ")
        if value == NONSENSE and literals(field) and "did you mean" in said:
            continue
        assert expected(field) in said


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if bounds(field)])
def test_the_bounds_themselves_are_valid_and_stand_in_the_sentence(name: str) -> None:
    section = Params.model_validate(nested({"search.trials": 0}))
    for bound in bounds(FIELDS[name]):
        tree = nested(flat(section) | {name: bound})
        assert flat(Params.model_validate(tree))[name] == bound
        assert str(bound) in expected(FIELDS[name])


WORDED = [name for name, field in FIELDS.items() if any(isinstance(word, str) for word in literals(field))]


def test_a_misspelt_word_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    words = {name: next(word for word in literals(FIELDS[name]) if isinstance(word, str)) for name in WORDED}
    path, lines = settings_file(tmp_path, {name: f"{word}x" for name, word in words.items()})
    assert sentences(path) == [
        f"params.yaml:{lines[name]}: {name} is {word + 'x'!r}; did you mean {word!r}?" for name, word in words.items()
    ]


def test_a_misspelt_name_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    wrong = {name + "_": name for name in FIELDS}
    path, lines = settings_file(tmp_path, dict.fromkeys(wrong, 1))
    for said, (name, right) in zip(sentences(path), wrong.items(), strict=True):
        section, _, leaf = name.rpartition(".")
        nearest = right.rpartition(".")[2]
        assert said == f"params.yaml:{lines[name]}: {leaf!r} is not a setting of {section}; did you mean {nearest!r}?"


def test_the_sentences_of_the_design_come_out_to_the_letter(tmp_path: Path) -> None:
    path = written(tmp_path, SOUND + "recipe:\n  optimiser:\n    lr: 1\n  optimizer:\n    lr: fast\n")
    assert sentences(path) == [
        "params.yaml:4: 'optimiser' is not a setting of recipe; did you mean 'optimizer'?",
        "params.yaml:7: recipe.optimizer.lr is 'fast'; it must be a number above 0 and at most 100.",
    ]


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    path = written(tmp_path, SOUND + "recipe: {optimizer: {lr: 1e-3}, epochs: 1_0, seed: 012}\n")
    recipe = load(path).recipe
    assert (recipe.optimizer.lr, recipe.epochs, recipe.seed) == (0.001, 10, 12)


UNREADABLE = {  # a value that YAML begins to read as something and cannot → what is said after `params.yaml:3: `
    "tracking: {experiment: 2024-02-30}": "tracking.experiment is '2024-02-30', which cannot be read as a date; mend it, ",
    "recipe: {epochs: !!int abc}": "recipe.epochs is 'abc', which cannot be read as a whole number; mend it, or put it",
    "recipe: {dropout: !!float abc}": "recipe.dropout is 'abc', which cannot be read as a number; ",
    "augment: {balance: !!bool maybe}": "augment.balance is 'maybe', which cannot be read as true or false; ",
    f"recipe: {{epochs: {'1' * 5000}}}": f"recipe.epochs is '{'1' * 59}…', which cannot be read as a whole number; ",
    f"recipe: {'[' * 60}{']' * 60}": "is nested more than 50 levels deep, which no setting is; ",
    'tracking: {experiment: "\\ud800"}': "tracking.experiment holds a NUL or half a character, which no file can; ",
    'data: {split_key: "a\\0"}': "data.split_key holds a NUL or half a character, which no file can; write it without.",
    'data: {"\\udfff": 1}': "what stands before this colon is no name; ",
}


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:40])
def test_a_value_that_cannot_be_read_gets_a_sentence_and_no_stack_trace(text: str, tmp_path: Path) -> None:
    (said,) = sentences(written(tmp_path, SOUND + text))
    assert said.startswith(f"params.yaml:3: {UNREADABLE[text]}")


def test_brackets_without_end_get_a_sentence(tmp_path: Path) -> None:
    (said,) = sentences(written(tmp_path, f"recipe: {'[' * 3000}{']' * 3000}"))
    assert said.startswith("params.yaml: is nested more than 50 levels deep")


def test_yes_and_none_are_words_and_the_sentence_says_what_to_write(tmp_path: Path) -> None:
    path = written(tmp_path, SOUND + "augment: {balance: yes}\nrecipe: {clip_norm: none}\n")
    assert sentences(path) == [
        "params.yaml:3: augment.balance is 'yes'; it must be true or false.",
        "params.yaml:4: recipe.clip_norm is 'none'; it must be a number above 0 or null (nothing is written null).",
    ]


BROKEN = {
    "": "params.yaml: is empty; write one, or run assay in the folder that holds it.",
    "# only a comment\n": "params.yaml: is empty; write one, or run assay in the folder that holds it.",
    "- 1\n": "params.yaml:1: is not a mapping of settings; it must consist of lines like `name: value`.",
    "data:\n\tsource: digits\n": "params.yaml:2: a tab stands where YAML wants blanks; indent with blanks.",
    "data: [1\n": "params.yaml:2: is not YAML: expected ',' or ']', but got '<stream end>' while parsing a flow "
    "sequence.",
    "data: 'x\n": "params.yaml:2: is not YAML: found unexpected end of stream while scanning a quoted scalar.",
    "a: 1\n---\nb: 2\n": "params.yaml:2: is not YAML: but found another document expected a single document in "
    "the stream.",
    "data: !here x\n": "params.yaml:1: is not YAML: could not determine a constructor for the tag '!here'.",
    "data: &a [*a]\n": "params.yaml:1: an alias stands inside what it repeats; write the values out.",
    "data: {}\nrecipe: {epochs: 3}\ndata: {}\n": "params.yaml:3: data is already set in line 1; remove one of the two.",
    "recipe:\n  seed: 3\n  seed: 3\n": "params.yaml:3: recipe.seed is already set in line 2; remove one of the two.",
    "recipe:\n  optimizer: 3\nsearch: {trials: 0}\n": "params.yaml:2: recipe.optimizer is 3; it must be a mapping of "
    "its settings (name, lr, momentum, weight_decay, layer_decay).",
    "search:\n": "params.yaml:1: search is null; it must be a mapping of its settings "
    f"({', '.join(Search.model_fields)}).",
    "search: {trials: 0}\n4: x\n": "params.yaml:2: '4' is not a setting of params.yaml; "
    "known are augment, data, drift, evaluate, promote, recipe, retrain, search and 2 more.",
    "search: {trials: 0}\nrecipe: {class_weights: {3: 1.5}}\n": "params.yaml:2: recipe.class_weights is {3: 1.5}; "
    "it must be 'balanced', a mapping of names to numbers above 0 or null (a name that is a number stands in quotes).",
    "search:\n  trials: 0\n  pick: {cost/second: 2.0}\n": "params.yaml:3: search.pick is {cost/second: 2.0}; it must be "
    "'knee' or a mapping of cost/seconds or cost/parameters to numbers above 0.",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_said_with_its_line(text: str, tmp_path: Path) -> None:
    said = sentences(written(tmp_path, text))
    assert said[0] == BROKEN[text]


def test_a_missing_file_says_what_to_do(folder: Path) -> None:
    with pytest.raises(InputError, match=r"^params.yaml: there is no such file; write one, or run assay in the folder"):
        load("params.yaml")


def test_a_file_that_is_no_text_or_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"data: \xff\xfe")
    assert sentences(tmp_path / "params.yaml")[0].startswith("params.yaml: is not UTF-8 (invalid start byte at byte 6)")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path)


def test_all_problems_are_told_together_in_the_order_of_the_lines(tmp_path: Path) -> None:
    text = """\
data:
  splits: {train: 0.7, validation: 0.2, test: 0.2}
  channels: 2
recipe:
  activation: rellu
  epochs: 0
search:
  trials: 4
  space:
    dropout: {low: 0.5, high: 0.2}
    optimizer: {lr: 3}
"""
    said = sentences(written(tmp_path, text))
    assert [int(re.findall(r"params.yaml:(\d+):", sentence)[0]) for sentence in said] == [2, 3, 5, 6, 10, 11]


def test_a_merged_section_is_placed_where_it_is_named(tmp_path: Path) -> None:
    text = SOUND + "recipe:\n  augmentation: &one {rotate: 12}\naugment:\n  policy:\n    <<: *one\n    blurr: 1\n"
    assert sentences(written(tmp_path, text)) == [
        "params.yaml:8: 'blurr' is not a setting of augment.policy; did you mean 'blur'?"
    ]


letters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])  # the others no settings can hold
recipe_values = st.fixed_dictionaries(
    {},
    optional={
        "backbone": st.text(letters, min_size=1, max_size=20),
        "pretrained": st.booleans() | st.text(letters, min_size=1),
        "freeze": st.none() | st.just("backbone") | st.integers(1, 9),
        "class_weights": st.none() | st.dictionaries(st.text(letters), st.floats(1e-9, 1e9)),
        "optimizer.lr": st.floats(1e-300, 100),
        "regularization.l1": st.floats(0, 1),
        "seed": st.integers(0, 2**32 - 1),
        "augmentation.rotate": st.floats(0, 180) | st.integers(0, 180),
    },
)


@example(values={"backbone": "\x85"})  # a line break to YAML
@example(values={"class_weights": {"Müll\u2028": 2.0}})
@given(values=recipe_values)
@hypothesis.settings(max_examples=15)  # YAML in pure Python takes its time
def test_a_recipe_survives_being_written_and_read(values: dict[str, Any], tmp_path: Path) -> None:
    recipe = with_values(Recipe(), values)
    write_recipe(recipe, tmp_path / "recipe.yaml")
    first = (tmp_path / "recipe.yaml").read_bytes()
    assert read_recipe(tmp_path / "recipe.yaml") == recipe
    write_recipe(read_recipe(tmp_path / "recipe.yaml"), tmp_path / "recipe.yaml")
    assert (tmp_path / "recipe.yaml").read_bytes() == first


def test_a_written_recipe_names_every_field_in_the_order_of_params(tmp_path: Path) -> None:
    write_recipe(Recipe(), tmp_path / "recipe.yaml")
    written_names = re.findall(r"^(\w+):", (tmp_path / "recipe.yaml").read_text(), flags=re.MULTILINE)
    assert written_names == list(Recipe.model_fields)


def test_a_recipe_that_is_wrong_or_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"recipe.yaml: there is no such file; run `assay search` first"):
        read_recipe(tmp_path / "recipe.yaml")
    (tmp_path / "recipe.yaml").write_text("optimizer:\n  lr: 0\n")
    with pytest.raises(
        InputError, match=r"recipe.yaml:2: recipe.optimizer.lr is 0; it must be a number above 0 and at"
    ):
        read_recipe(tmp_path / "recipe.yaml")


def test_every_setting_is_explained_with_type_range_default_and_meaning() -> None:
    rows = {row.name: row for row in explain_rows()}
    assert list(rows) == list(FIELDS)
    for row in rows.values():
        assert row.kind, row
        assert row.range, row
        assert len(row.meaning) > 5, f"{row.name} has no meaning"
    assert rows["recipe.optimizer.lr"].default == "0.001"
    assert explain().count("\n") == len(rows) + 1


def test_the_settings_as_shipped_are_complete_and_sound() -> None:
    shipped = Path(__file__).parents[2] / "params.yaml"
    load(shipped)
    told = YAML(typ="safe", pure=True).load(shipped)
    for name in FIELDS:
        branch = told
        for part in name.split("."):
            assert part in branch, f"params.yaml does not show {name}"
            branch = branch[part]


@pytest.mark.parametrize("key", ["null", "? [a, b]", "1.5", "true", "? {a: 1}", "2020-01-01"])
def test_what_is_no_name_is_said_with_its_line(key: str, tmp_path: Path) -> None:
    for text in (
        f"{SOUND}{key}\n: 2\n" if key.startswith("?") else f"{SOUND}{key}: 2\n",
        f"search: {{trials: 0}}\nrecipe:\n {{class_weights: {{{key} : 2.0}}}}",
    ):
        (said,) = sentences(written(tmp_path, text))
        assert said == (
            "params.yaml:3: what stands before this colon is no name; it must be text, in quotes if it reads as "
            "something else."
        )


@pytest.mark.parametrize("value", ['"3"', "true", "1.0", "2"])
def test_a_choice_among_numbers_takes_these_numbers_alone(value: str, tmp_path: Path) -> None:
    (said,) = sentences(written(tmp_path, SOUND + f"data: {{channels: {value}}}\n"))
    assert said == f"params.yaml:3: data.channels is {shown(YAML(typ='safe').load(value))}; it must be 1 or 3."


@pytest.mark.parametrize("weight", ["-1.0", "0.0"])
def test_a_class_weighs_more_than_nothing(weight: str, tmp_path: Path) -> None:
    (said,) = sentences(written(tmp_path, SOUND + f"recipe:\n  class_weights: {{a: {weight}, b: 1.0}}\n"))
    assert said == (
        f"params.yaml:4: recipe.class_weights is {{a: {weight}, b: 1.0}}; it must be 'balanced', a mapping of names to "
        "numbers above 0 or null."
    )


def test_a_run_records_a_setting_under_its_whole_name() -> None:
    whole = Params()
    assert {name for section in Params.model_fields for name in named(section, getattr(whole, section))} == set(FIELDS)


@pytest.mark.parametrize(
    ("pruner", "reason"),
    [
        ("pasha", "whose trials wait to go on, and one that is stopped here has ended"),
        ("wilcoxon", "which compares trials over repeated folds, and a trial here has one split"),
    ],
)
def test_a_word_from_elsewhere_is_refused_with_its_reason(pruner: str, reason: str, tmp_path: Path) -> None:
    assert sentences(written(tmp_path, f"{SOUND}  pruner: {pruner}\n")) == [
        f"params.yaml:3: search.pruner is '{pruner}', {reason}; it must be 'auto', 'asha', 'hyperband', 'median' or 'none'."
    ]
