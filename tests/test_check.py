"""What is known before anything runs is said before anything runs, with the line that caused it."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.buildable import REMEMBERED, combinations
from assay.check import PREPARED, PREPARED_BY, checked, note_prepared, placed
from assay.data.dataset import About, write_about, write_slices
from assay.errors import InputError
from assay.modality import Spec
from assay.params import Data, Params

SHIPPED = Path(__file__).parents[1] / "params.yaml"


def sentences(text: str, thorough: bool = False) -> list[str]:
    Path("params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"params\.yaml:\d+: ") as caught:
        checked(thorough=thorough)
    return [sentence.removeprefix("params.yaml:") for sentence in caught.value.sentences]


def prepared(task: str, classes: tuple[str, ...] | None, size: int = 28) -> None:
    PREPARED.mkdir(parents=True)
    spec = Spec("image", (1, size, size), "uint8", ("channel", "height", "width"))
    write_about(About(spec, task, ("label",), classes, {"train": 7, "validation": 2, "test": 2}, "v"), PREPARED)


def modules_after_a_check() -> list[str]:
    """The heavy ones among those that a process has imported once it has checked params.yaml."""
    program = "import sys; from assay.check import checked; checked(); print(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return sorted({"torch", "timm", "ray", "mlflow", "matplotlib"} & set(ended.stdout.split()))


NETWORKS = {
    "search: {trials: 0}\nrecipe: {backbone: rsnet18}": [
        "2: recipe.backbone: 'rsnet18' is not a network; did you mean 'resnet18'?"
    ],
    "search: {trials: 0}\nrecipe: {backbone: vgg16}": [
        "2: recipe.input_size: vgg16 takes no input of size 28; the smallest that works is 32."
    ],
    "search: {trials: 0}\ndata: {image_size: 4}": [
        "2: recipe.input_size: cnn takes no input of size 4; the smallest that works is 10."
    ],
    "search: {trials: 0}\nrecipe:\n  pretrained: true": [
        "3: recipe.pretrained: no trained weights of 'cnn' are known; it must be false"
    ],
    "search: {trials: 0}\nrecipe:\n  pretrained: nowhere/model": [
        "3: recipe.pretrained: 'nowhere/model' does not exist; it must be false or true, without quotes, or a path to "
        "weights."
    ],
    "search: {trials: 0}\nrecipe:\n  freeze: 99": [
        "3: recipe.freeze: 99 is more stages than cnn has; it must be at most 3.",
    ],
    "search:\n  trials: 2\n  space:\n    backbone:\n      choices:\n        - cnn\n        - rsnet18": [
        "7: recipe.backbone: 'rsnet18' is not a network; did you mean 'resnet18'?"
    ],
    "search:\n  trials: 2\n  space:\n    backbone: {choices: [cnn, resnet18]}\n    input_size: {choices: [4]}": [
        "5: recipe.input_size: cnn takes no input of size 4; the smallest that works is 10.",
    ],
}


@pytest.mark.parametrize("text", NETWORKS)
def test_a_network_that_cannot_be_built_is_said_for_the_recipe_and_each_choice(text: str, folder: Path) -> None:
    for said, expected in zip(sentences(text), NETWORKS[text], strict=False):
        assert said.startswith(expected)


@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.parametrize(
    "text", ["recipe: {backbone: rsnet18}", "recipe: {backbone: resnet18}\ndata: {source: folder, path: nowhere}"]
)
def test_nothing_is_written_where_the_check_fails(text: str, thorough: bool, folder: Path) -> None:
    sentences(f"search: {{trials: 0}}\n{text}", thorough=thorough)
    assert [path.name for path in folder.iterdir()] == ["params.yaml"]


def test_a_choice_is_judged_only_where_its_condition_holds() -> None:
    space: dict[str, Any] = {
        "backbone": {"choices": ["cnn", "vgg16"]},
        "input_size": {"choices": [32], "when": {"backbone": ["vgg16"]}},
        "pretrained": {"choices": [True], "when": {"backbone": ["vgg16"]}},
        "dropout": {"low": 0.0, "high": 0.5},
    }
    params = Params.model_validate({"search": {"trials": 2, "space": space}})
    none = {"freeze": None}
    assert combinations(params) == [
        {"backbone": "cnn", "pretrained": False, "input_size": None} | none,
        {"backbone": "vgg16", "pretrained": True, "input_size": 32} | none,
    ]


def test_a_condition_on_another_field_is_followed_and_a_range_gives_its_ends_and_two_between() -> None:
    space: dict[str, Any] = {
        "loss": {"choices": ["auto", "focal"]},
        "freeze": {"choices": ["backbone"], "when": {"loss": ["focal"]}},
        "input_size": {"low": 16, "high": 32, "when": {"freeze": ["backbone"]}},
    }
    found = combinations(Params.model_validate({"search": {"trials": 2, "space": space}}))
    assert [(values["freeze"], values["input_size"]) for values in found] == [
        (None, None),
        ("backbone", 16),
        ("backbone", 17),
        ("backbone", 24),
        ("backbone", 32),
    ]
    stepped = {"input_size": {"low": 32, "high": 96, "step": 32}}
    found = combinations(Params.model_validate({"search": {"trials": 2, "space": stepped}}))
    assert [values["input_size"] for values in found] == [None, 32, 64, 96]


def test_without_a_search_the_space_is_not_judged() -> None:
    params = Params.model_validate({"search": {"trials": 0, "space": {"backbone": {"choices": ["nonsense"]}}}})
    assert [values["backbone"] for values in combinations(params)] == ["cnn"]


def test_the_settings_as_shipped_pass_and_what_was_well_is_remembered(folder: Path) -> None:
    shutil.copy(SHIPPED, "params.yaml")
    first = checked(thorough=True)
    assert REMEMBERED.exists()
    program = (
        "import sys; from assay.check import checked; checked(); print('timm' in sys.modules, 'torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "False False\n"
    assert checked() == first


def test_settings_of_our_own_networks_are_checked_without_torch(folder: Path) -> None:
    Path("params.yaml").write_text("search: {trials: 0}\n")
    assert modules_after_a_check() == []


def test_a_source_that_is_not_there_is_said_while_nothing_is_prepared(folder: Path) -> None:
    text = "search: {trials: 0}\ndata:\n  source: folder\n  path: photos"
    (said,) = sentences(text)
    assert said.startswith("4: data.path: photos does not exist; ")
    prepared("classification", ("a", "b"))
    assert checked().data.path == "photos"
    assert sentences(text, thorough=True)[0].startswith("4: data.path: photos does not exist; ")


def test_a_column_that_is_missing_is_said(folder: Path) -> None:
    Path("t.csv").write_text("image,lable\na.png,x\n")
    (said,) = sentences("search: {trials: 0}\ndata:\n  source: table\n  path: t.csv\n  target: label")
    assert said.startswith("5: data.target: ")
    assert said.endswith("did you mean 'lable'?")


def test_what_the_prepared_data_is_decides_about_loss_and_metric(folder: Path) -> None:
    prepared("regression", None)
    text = "data: {source: table, path: t.csv}\nrecipe: {loss: focal}\nsearch: {trials: 0, metric: accuracy}"
    assert sentences(text) == [
        "2: recipe.loss is 'focal', which does not fit regression; it must be 'auto', 'mse' or 'huber'.",
        "3: search.metric is 'accuracy', which does not fit regression; it must be 'auto', 'r2', "
        "'rmse', 'mae' or 'loss'.",
    ]


def test_data_that_was_prepared_by_other_settings_decides_nothing(folder: Path) -> None:
    prepared("classification", ("a", "b"))
    note_prepared(Data(image_size=28), "v")
    Path("table.csv").write_text("image,label\n" + "".join(f"{number}.png,{number}.5\n" for number in range(40)))
    own = "data: {source: table, path: table.csv, image_size: 28}\nsearch: {trials: 0, metric: r2}\n"
    Path("params.yaml").write_text(own)
    assert checked().search.metric == "r2"


def stages_after_prepare_say(text: str) -> list[str]:
    Path("params.yaml").write_text(text)
    try:
        checked(on_prepared=True)
    except InputError as error:
        return [sentence.removeprefix("params.yaml:") for sentence in error.sentences]
    return []


def test_data_of_other_settings_is_refused_by_the_stages_after_prepare(folder: Path) -> None:
    prepared("classification", ("a", "b"))
    note_prepared(Data(image_size=28), "v")
    assert stages_after_prepare_say("data:\n  workers: 3\n  image_size: 28\n") == []
    assert stages_after_prepare_say("data:\n  split_key: another\n  image_size: 32\n") == [
        "3: results/prepare/data was prepared with data.image_size 28, data.split_key 'assay'; run `assay prepare` "
        "or `dvc repro`, or set that again."
    ]
    Path("params.yaml").write_text("data: {image_size: 32}")
    assert checked().data.image_size == checked(thorough=True).data.image_size == 32


def test_a_slice_column_that_prepare_did_not_keep_is_found_before_a_search(folder: Path) -> None:
    prepared("classification", ("a", "b"))
    own = "data: {source: table, path: table.csv}\nevaluate: {slices: [camera]}"
    (said,) = stages_after_prepare_say(own)
    assert said.startswith("2: evaluate.slices: results/prepare/data was prepared without 'camera'; run `assay prep")
    write_slices(PREPARED.with_name("slices.parquet"), {"split": [], "key": [], "slice/camera": []})
    assert stages_after_prepare_say(own) == []


def test_data_that_came_of_several_settings_is_of_each_of_them(folder: Path) -> None:
    prepared("classification", ("a", "b"))
    for max_bad in (0.1, 0.2):
        note_prepared(Data(max_bad=max_bad), "v")
    assert stages_after_prepare_say("data: {max_bad: 0.1}") == stages_after_prepare_say("data: {max_bad: 0.2}") == []
    (said,) = stages_after_prepare_say("data: {max_bad: 0.3}")
    assert said.startswith("1: results/prepare/data was prepared with data.max_bad 0.1; ")


@pytest.mark.parametrize("note", [None, '{"of another version": [{"max_bad": 0.5}]}', "{torn", '{"v": [{"gone": 1}]}'])
def test_data_that_nobody_noted_the_settings_of_is_taken_as_it_is(folder: Path, note: str | None) -> None:
    prepared("classification", ("a", "b"))
    if note is not None:
        PREPARED_BY.parent.mkdir()
        PREPARED_BY.write_text(note)
    assert stages_after_prepare_say("data: {max_bad: 0.3}") == []


def test_class_weights_must_name_the_classes_that_there_are(folder: Path) -> None:
    prepared("classification", ("cat", "dog"))
    assert sentences("search: {trials: 0}\nrecipe: {class_weights: {cat: 1.0, dgo: 2.0}}") == [
        "2: recipe.class_weights differs from the classes of the data in 'dgo', 'dog'; it must have a weight "
        "for each class and no other."
    ]


def test_the_classes_of_digits_are_known_before_they_are_prepared(folder: Path) -> None:
    (said,) = sentences("search: {trials: 0}\nrecipe: {class_weights: {cat: 1.0}}")
    assert said.startswith("2: recipe.class_weights differs from the classes of the data in '0', '1', ")


def test_a_store_that_mlflow_no_longer_has_is_said(folder: Path) -> None:
    (said,) = sentences("search: {trials: 0}\ntracking: {uri: ./runs}")
    assert said.startswith("2: tracking.uri: './runs' is a folder")


def test_all_of_it_is_said_together(folder: Path) -> None:
    said = sentences(
        "search: {trials: 0}\nrecipe: {backbone: rsnet18}\ntracking: {uri: ./runs}\ndata: {source: folder, path: x}"
    )
    assert [sentence.partition(":")[0] for sentence in said] == ["2", "3", "4"]


TOGETHER = {  # wrong settings, and what is wrong with data and networks besides → how each sentence begins
    "search: {trials: 0}\ndata: {image_size: 16}\nrecipe: {backbone: vgg11,\n  batch_size: 0}": [
        "3: recipe.input_size: vgg11 takes no input of size 16; ",
        "4: recipe.batch_size is 0; ",
    ],
    "search:\n  trials: 2\n  space:\n    dropout: {low: 2, high: 1}\n    backbone: {choices: [cnn, resnet19, 5]}": [
        "4: search.space.dropout.low is 2; ",
        "4: search.space.dropout.high is 1; ",
        "4: search.space.dropout.low is 2; ",
        "5: search.space.backbone.choices has 5; ",
        "5: recipe.backbone: 'resnet19' is not a network; ",
    ],
    "search: {trials: 0}\ndata: {source: folder, path: nowhere}\nrecipe: {epochs: 0}\nserach: 1": [
        "2: data.path: nowhere does not exist; ",
        "3: recipe.epochs is 0; ",
        "4: 'serach' is not a setting of params.yaml; ",
    ],
    "data:\n  modality: smell\nrecipe: {epochs: 0,\n  backbone: rsnet18}": [
        "2: data.modality: 'smell' is not a kind of sample; ",
        "3: recipe.epochs is 0; ",
    ],
    "search: {trials: 0}\ndata: {image_size: 2}\nrecipe: {backbone: vgg16}": ["2: data.image_size is 2; "],
}


@pytest.mark.parametrize("text", TOGETHER)
def test_wrong_settings_hide_nothing_of_data_and_networks_that_does_not_rest_on_them(text: str, folder: Path) -> None:
    said = sentences(text)
    assert len(said) == len(TOGETHER[text]), said
    assert all(map(str.startswith, said, TOGETHER[text])), said


@pytest.mark.parametrize("damage", ["bytes", "folder"])
def test_a_torn_note_of_what_was_prepared_stops_nothing(folder: Path, damage: str) -> None:
    Path("params.yaml").write_text("data: {channels: 1}\n")
    if damage == "folder":
        (folder / PREPARED_BY).mkdir(parents=True)
    else:
        (folder / PREPARED_BY).parent.mkdir()
        (folder / PREPARED_BY).write_bytes(b"\xff\xfe\x00")
    assert checked().data.channels == 1


@pytest.mark.parametrize("place", ["results", "results/train", ".assay"])
def test_a_place_that_cannot_be_written_is_found_before_the_work(
    folder: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("params.yaml").write_text("data: {channels: 1}\n")
    Path(place).parent.mkdir(exist_ok=True)
    Path(place).write_text("")
    with pytest.raises(
        InputError, match=rf"^{place}: cannot be used \(File exists\); a file stands where a folder must"
    ):
        checked()
    Path(place).unlink()
    Path(place).mkdir()
    monkeypatch.setattr("os.access", lambda path, _mode: str(path) != place)
    with pytest.raises(InputError, match=rf"^{place}: cannot be written or read \(Permission denied\); it must be"):
        checked()


def test_an_unknown_kind_of_sample_is_said_with_its_line(folder: Path) -> None:
    assert sentences("data:\n  modality: imgae") == [
        "2: data.modality: 'imgae' is not a kind of sample; did you mean 'image'?"
    ]


PLACED = {
    "data.target: every sample is 'cat'.": "params.yaml:2: data.target: every sample is 'cat'.",
    "search.resources asks for gpu 1.": "params.yaml:3: search.resources asks for gpu 1.",
    "tracking.uri: no server.": "params.yaml: tracking.uri: no server.",
    "recipe.precision is 'fp16'.": "params.yaml:5: recipe.precision is 'fp16'.",
    "recipe.batch_size is 32.": "params.yaml:6: recipe.batch_size is 32.",
    "data.csv: line 3 has 1 values.": "data.csv: line 3 has 1 values.",
    "results/train: is a file.": "results/train: is a file.",
}


def test_what_a_stage_says_of_a_setting_gets_the_line_where_it_stands(folder: Path) -> None:
    Path("params.yaml").write_text(
        "data:\n  target: label\nsearch:\n  space:\n    precision: {choices: [fp16]}\nrecipe: {batch_size: 32}\n"
    )
    assert placed(InputError(*PLACED)).sentences == tuple(PLACED.values())
    Path("params.yaml").unlink()
    assert placed(InputError(*PLACED)).sentences == tuple(PLACED)
