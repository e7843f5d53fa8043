"""Settings that are sound one by one and disagree with each other: each case is a file and the sentences it gets."""

import json
from pathlib import Path

import pytest

from assay.errors import InputError
from assay.settings import load

NO_SEARCH = "search: {trials: 0}\n"

CASES = {
    "data: {splits: {train: 0.7, validation: 0.2, test: 0.2}}": [
        "1: data.splits sums to 1.1 (train 0.7 + validation 0.2 + test 0.2); it must sum to 1."
    ],
    "data:\n  splits:\n    train: 1\n    validation: 0\n    test: 0": [
        "4: data.splits.validation is 0; each split needs a share above 0.",
        "5: data.splits.test is 0; each split needs a share above 0.",
    ],
    "data: {source: folder}": ["1: data.path is null; it must be the folder, since data.source is 'folder'."],
    "data: {source: table}": ["1: data.path is null; it must be the table file, since data.source is 'table'."],
    "data: {source: hub}": [
        "1: data.path is null; it must be the data set's name or folder, since data.source is 'hub'."
    ],
    "data:\n  path: photos": [
        "2: data.path is 'photos', but data.source is 'digits'; it must be null, or the source another."
    ],
    "data: {source: folder, path: x, task: regression}": [
        "1: data.task is 'regression'; it must be 'auto' or 'classification' for folder."
    ],
    "data: {group: patient}": ["1: data.group is 'patient'; it must be null, since digits has no columns."],
    "data: {source: table, path: x, target: []}": [
        "1: data.target is []; it must be a column or a list of different columns."
    ],
    "data: {source: table, path: x, target: [a, a]}": [
        "1: data.target is [a, a]; it must be a column or a list of different columns."
    ],
    "data: {source: table, path: x, target: [a, b], task: classification}": [
        "1: data.target is [a, b]; it must be one column, since data.task is 'classification'."
    ],
    "data: {split_key: ' '}\ntracking: {experiment: ''}": [
        "1: data.split_key is ' '; it must be text that says something.",
        "2: tracking.experiment is ''; it must be text that says something.",
    ],
    "recipe: {loss: mse}": [
        "1: recipe.loss is 'mse', which does not fit classification; it must be 'auto', 'cross_entropy' or 'focal'."
    ],
    "data: {source: table, path: x, task: regression}\nrecipe: {loss: focal}": [
        "2: recipe.loss is 'focal', which does not fit regression; it must be 'auto', 'mse' or 'huber'."
    ],
    "data: {source: table, path: x, task: multilabel}\nrecipe: {loss: cross_entropy}": [
        "2: recipe.loss is 'cross_entropy', which does not fit multilabel; it must be 'auto', 'binary_cross_entropy' or "
        "'focal'."
    ],
    "data: {source: table, path: x, task: regression}\nrecipe: {augmentation: {mixup: 0.2, cutmix: 1}}": [
        "2: recipe.augmentation.mixup is 0.2, which needs classes; in regression it must be 0.",
        "2: recipe.augmentation.cutmix is 1, which needs classes; in regression it must be 0.",
    ],
    "data: {source: table, path: x, task: regression}\nrecipe: {label_smoothing: 0.1, class_weights: balanced}": [
        "2: recipe.label_smoothing is 0.1, which needs classes; in regression it must be 0.",
        "2: recipe.class_weights is 'balanced', which needs classes; in regression it must be null.",
    ],
    "data: {source: table, path: x, task: regression}\naugment: {balance: true, policy: {rotate: 1}}": [
        "2: augment.balance is true, which needs one class a sample; in regression it must be false."
    ],
    "augment: {copies: 2}": [
        "1: augment.copies is 2, but augment.policy changes nothing; one of crop, rotate, flip, flip_vertical, translate, "
        "scale, shear, brightness, contrast, saturation, noise, blur, erase must be above 0."
    ],
    "recipe: {epochs: 3, schedule: {warmup: 3}}": [
        "1: recipe.schedule.warmup is 3; it must be below recipe.epochs, 3."
    ],
}

SEARCHES = {
    "trials: 3": ["2: search.trials is 3, but search.space is empty; give a space, or set search.trials to 0."],
    "metric: r2": [
        "2: search.metric is 'r2', which does not fit classification; it must be 'auto', 'accuracy', "
        "'balanced_accuracy', 'f1' or 'loss'."
    ],
    "epochs: 2\n  min_epochs: 3": ["3: search.min_epochs is 3; it must be at most the epochs of a trial, 2."],
    "epochs: 3\n  space: {epochs: {choices: [2, 4, 9]}}": [
        "3: search.space.epochs may be 4, but search.epochs is 3, the most of a trial; set search.epochs to null, or to as "
        "many."
    ],
    "sampler: grid\n  space: {batch_size: {low: 8, high: 9}, dropout: {low: 0, high: 0.5}}": [
        "3: search.space.dropout has endless values; for search.sampler 'grid' it must have a step or choices."
    ],
    "sampler: grid\n  space: {batch_size: {low: 8, high: 9, log: true}}": [
        "3: search.space.batch_size has log, whose values are no steps; for search.sampler 'grid' it must have choices."
    ],
    "metric: [cost/seconds, accuracy]": [
        "2: search.metric begins with 'cost/seconds'; the first must be a metric, and costs follow: [auto, cost/seconds].",
        "2: search.metric has 'accuracy' behind the first; the others must be costs: cost/seconds, cost/parameters.",
    ],
    "metric: [cost/parameters]": [
        "2: search.metric begins with 'cost/parameters'; the first must be a metric, and costs follow: "
        "[auto, cost/parameters]."
    ],
    "metric: [accuracy, cost/seconds, cost/seconds]": [
        "2: search.metric has 'cost/seconds' twice; each may stand there once."
    ],
    "metric: [accuracy, cost/seconds]\n  pick: {}": [
        "3: search.pick is {}; it must be 'knee' or limit at least one cost."
    ],
    "metric: [accuracy, cost/seconds]\n  pick: {cost/parameters: 3}": [
        "3: search.pick limits 'cost/parameters', which search.metric does not have; it must stand there."
    ],
    "metric: [accuracy, cost/seconds]\n  finals: small": [
        "3: search.finals compares one metric, and search.metric has costs too; set one of the two back."
    ],
    "prefer_base: true": [
        "2: search.prefer_base is true, but search.finals is off, so that nothing is shown to be better; set "
        "search.finals to small."
    ],
    "resources: {gpu: 1.5}": ["2: search.resources.gpu is 1.5; above 1 it must be a whole number."],
}
SCHEDULE = "it must be a crontab line such as '0 3 * * 1', Mondays at 3:00."
RETRAININGS = {
    "schedule: weekly": [
        "2: retrain.schedule is 'weekly', which has 1 field; it must have 5: minute, hour, day of the month, month, "
        f"weekday; {SCHEDULE}"
    ],
    "schedule: 0 3 * * 8": [
        f"2: retrain.schedule is '0 3 * * 8', which has '8' as the weekday, which must be 0 to 7, or sun and so on; {SCHEDULE}"
    ],
    "schedule: ' '": ["2: retrain.schedule is ' '; it must be text that says something."],
    "notify: ftp://example.org/hook": [
        "2: retrain.notify is 'ftp://example.org/hook', which is no address; it must be http:// or https:// with a host, "
        "or a command."
    ],
    "notify: https:///hook": [
        "2: retrain.notify is 'https:///hook', which is no address; it must be http:// or https:// with a host, or a command."
    ],
    "notify: https://example.org:port/": [
        "2: retrain.notify is 'https://example.org:port/', which is no address; it must be http:// or https:// with a "
        "host, or a command."
    ],
    "notify: https://example.org/a hook": [
        "2: retrain.notify is 'https://example.org/a hook', which is no address; it must be http:// or https:// with a "
        "host, or a command."
    ],
    "notify: https://me:secret@example.org/": [
        "2: retrain.notify is 'https://me:secret@example.org/', with a name or password in it, which is sent to nobody; "
        "leave it out."
    ],
}


def sentences(folder: Path, text: str) -> list[str]:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"params\.yaml:\d+: ") as caught:
        load(path)
    return [sentence.removeprefix(f"{path}:") for sentence in caught.value.sentences]


@pytest.mark.parametrize("text", CASES)
def test_settings_that_disagree_are_said(text: str, tmp_path: Path) -> None:
    assert sentences(tmp_path, f"{text}\n{NO_SEARCH}") == CASES[text]


@pytest.mark.parametrize("text", RETRAININGS)
def test_a_schedule_or_receiver_that_is_none_is_said(text: str, tmp_path: Path) -> None:
    assert sentences(tmp_path, f"retrain:\n  {text}\n{NO_SEARCH}") == RETRAININGS[text]


@pytest.mark.parametrize("said", ["https://example.org:8443/a?b=c", "http://[::1]:8000/", "mail -s retrained me", "x"])
def test_an_address_or_any_command_is_a_receiver(said: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"retrain: {{notify: {json.dumps(said)}, schedule: 0 3 * * 1}}\n{NO_SEARCH}", encoding="utf-8")
    assert load(path).retrain.notify == said


@pytest.mark.parametrize("text", SEARCHES)
def test_search_settings_that_disagree_are_said(text: str, tmp_path: Path) -> None:
    trials = "" if text.startswith("trials") else "  trials: 0\n"
    assert sentences(tmp_path, f"search:\n  {text}\n{trials}") == SEARCHES[text]


@pytest.mark.parametrize(
    "text",
    [
        "data: {source: table, path: x}\nrecipe: {loss: mse}",  # the task is not known before the table is read
        "data: {source: table, path: x, task: multilabel}\nrecipe: {loss: focal}",
        "data: {splits: {train: 0.6, validation: 0.3, test: 0.1}}",  # their sum is 1 but for rounding
        "recipe: {schedule: {warmup: 2.5}, epochs: 3}",
        "augment: {copies: 2, policy: {noise: 0.01}}",
    ],
)
def test_settings_that_may_agree_pass(text: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(f"{text}\n{NO_SEARCH}")
    load(tmp_path / "params.yaml")


def test_a_rule_rests_while_one_of_its_settings_is_wrong_by_itself(tmp_path: Path) -> None:
    said = sentences(
        tmp_path, f"data: {{source: foldr}}\nrecipe: {{loss: mse, epochs: 0, schedule: {{warmup: 20}}}}\n{NO_SEARCH}"
    )
    assert said == [
        "1: data.source is 'foldr'; did you mean 'folder'?",
        "2: recipe.epochs is 0; it must be a whole number from 1 to 100000.",
    ]


SPACES = {  # settings around a space → the sentence
    "epochs: 16|schedule.warmup: {low: 0, high: 500}": "7: schedule.warmup may be 500 in search.space, and a trial may "
    "have 16 epochs; it must be below them.",
    "schedule: {warmup: 5}|epochs: {choices: [3, 30]}": "7: schedule.warmup may be 5 in search.space, and a trial may "
    "have 3 epochs; it must be below them.",
    "seed: 0|label_smoothing: {low: 0.0, high: 0.2}": "7: search.space.label_smoothing may be 0.2, which needs classes; "
    "in regression leave it out.",
    "seed: 0|class_weights: {choices: [null, balanced]}": "7: search.space.class_weights may be 'balanced', which needs "
    "classes; in regression leave it out.",
}


@pytest.mark.parametrize("text", SPACES)
def test_what_the_space_may_draw_must_agree_too(text: str, tmp_path: Path) -> None:
    recipe, entry = text.split("|")
    data = "data: {source: table, path: t.csv, task: regression}\n"
    whole = f"{data}recipe:\n  {recipe}\nsearch:\n  trials: 2\n  space:\n    {entry}\n"
    assert sentences(tmp_path, whole) == [SPACES[text]]


@pytest.mark.parametrize("text", ["data: {channels: 1}", "search: {space: {}}", "search: {seed: 1}"])
def test_defaults_agree_with_each_other_without_a_space_there_is_nothing_to_search(text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert not load(path).search.space


def test_what_nobody_wrote_is_said_beside_no_other_error(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("recipe: {epochs: 0}")
    with pytest.raises(InputError, match=r"\A[^\n]*params\.yaml:1: recipe\.epochs is 0; [^\n]*\Z"):
        load(path)
