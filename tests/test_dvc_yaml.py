"""Each stage lists exactly the settings and files that decide its results: proven with `dvc status`, key by key."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from assay.params import Params
from assay.section import Section
from imports import ROOT, SOURCE, files_behind

STAGES = ("prepare", "augment", "search", "train", "evaluate")
NOWHERE = {  # settings that make nothing stale, and why
    "data.workers": "how many processes decode decides how fast, not what",
    "data.pull": "what brings new samples; they are named as dependencies",
    "search.workers": "how many trials run at once, not which",
    "search.resources": "what a trial may hold, not what it is",
    "search.trial_timeout": "when a trial that hangs is given up; one that does not is as it was",
    "search.storage": "where the study is kept",
    "search.storage_path": "where Ray keeps files that nobody reads",
    "promote": "who becomes champion, of models that are trained",
    "retrain": "another way to a model, which leaves the stages' results alone",
    "serve": "how the champion answers",
    "drift": "when data have drifted, under a model in use",
    "tracking.uri": "where runs are recorded",
    "tracking.experiment": "where runs are recorded",
}
STALE = {  # the setting or section → the stages that read it themselves; the longest match counts
    "data": ("prepare",),
    "data.modality": ("prepare", "train"),  # the model keeps how its samples were decoded
    "data.image": ("prepare", "train"),
    "data.image_size": ("prepare", "train"),
    "data.resize": ("prepare", "train"),
    "data.channels": ("prepare", "train"),
    "augment": ("augment",),
    "recipe": ("search",),
    "recipe.augmentation": ("augment", "search"),
    "search": ("search",),
    "search.metric": ("search", "train"),
    "evaluate": ("evaluate",),
    "evaluate.slices": ("prepare", "evaluate"),  # prepare keeps the columns
}
NO_EFFECT = {  # files that run in a stage and decide nothing of its results, and why
    "src/assay/__init__.py": "is empty but for a docstring",
    "src/assay/params.py": "its values are in params.yaml, and those are listed",
    "src/assay/section.py": "what settings are made of",
    "src/assay/usage.py": "settings that make nothing stale",
    "src/assay/settings": "reads params.yaml",
    "src/assay/crontab.py": "when a retraining is due",
    "src/assay/check.py": "refuses or does nothing",
    "src/assay/buildable.py": "refuses or does nothing",
    "src/assay/outside.py": "refuses or does nothing",
    "src/assay/errors.py": "words",
    "src/assay/places.py": "where dvc.yaml says that stages write",
    "src/assay/lease.py": "who may write a study, not what",
    "src/assay/terminal.py": "words",
    "src/assay/whole.py": "how files come to their place",
    "src/assay/tracking": "records",
}
ROOM = SOURCE / "assay" / "image"  # imported by its name alone, so what a stage asks of it is listed by hand
ROOM_FILES = {  # elsewhere all of it
    "prepare": ("__init__.py", "decode.py"),
    "augment": ("__init__.py", "drawing.py", "transforms.py"),
}
WEIGHTS, LOCK = SOURCE / "assay" / "weights.py", "weights/weights.lock"


def yaml_of(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = YAML(typ="safe", pure=True).load(path)
    return read


PIPELINE = yaml_of(ROOT / "dvc.yaml")


def expected(name: str) -> set[str]:
    """The stages that a setting makes stale, from the tables above."""
    parts = name.split(".")
    names = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    if any(known in NOWHERE for known in names):
        return set()
    return set(next(STALE[known] for known in names if known in STALE))


def settings(section: type[Section] = Params, prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from settings(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def dvc(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "dvc", *words]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pipeline whose stages are done: stand-ins of its files and outputs, committed without running."""
    folder = tmp_path_factory.mktemp("pipeline")
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    for stage in PIPELINE["stages"].values():
        outs = [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]]
        for name in [dependency for dependency in stage["deps"] if not dependency.startswith("results/")] + outs:
            path = folder / name / "part" if (ROOT / name).is_dir() else folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    dvc(folder, "commit", "-f", "-q")
    return folder


def stale(folder: Path) -> set[str]:
    said: dict[str, Any] = json.loads(dvc(folder, "status", "--json"))
    return set(said)


def changed(tree: dict[str, Any], name: str) -> None:
    *around, leaf = name.split(".")
    for part in around:
        tree = tree[part]
    tree[leaf] = "another" if tree[leaf] != "another" else "yet another"


def test_a_finished_pipeline_has_nothing_to_do(project: Path) -> None:
    assert stale(project) == set()


def test_every_setting_makes_stale_just_the_stages_that_use_it(project: Path) -> None:
    """All settings with the same answer at once: `dvc status` names the keys, and 90 calls of it would take minutes."""
    original = (project / "params.yaml").read_text()
    groups: dict[frozenset[str], list[str]] = {}
    for name in settings():
        groups.setdefault(frozenset(expected(name)), []).append(name)
    try:
        for stages, names in groups.items():
            tree = YAML(typ="safe", pure=True).load(original)
            for name in names:
                changed(tree, name)
            YAML(typ="safe", pure=True).dump(tree, project / "params.yaml")
            said = json.loads(dvc(project, "status", "--json"))
            assert set(said) == stages, names
            told = {key for entry in said.values() for key in reported(entry)}
            for name in names:
                found = {stage for stage, entry in said.items() if covers(reported(entry), name)}
                assert found == stages, f"{name} makes {found} stale"
            assert all(any(covers({key}, name) for name in names) for key in told)
    finally:
        (project / "params.yaml").write_text(original)


def reported(entry: list[Any]) -> set[str]:
    """The keys of params.yaml that `dvc status` calls changed for a stage."""
    changes = [
        part["changed deps"]["params.yaml"] for part in entry if isinstance(part, dict) and "changed deps" in part
    ]
    return {key for change in changes for key in change}


def covers(keys: set[str], name: str) -> bool:
    return any(name == key or name.startswith(f"{key}.") for key in keys)


def test_every_listed_key_is_a_setting() -> None:
    known = set(settings())
    for stage in PIPELINE["stages"].values():
        for key in stage["params"]:
            assert any(covers({key}, name) for name in known), key


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_exactly_the_files_that_decide_its_results(name: str) -> None:
    needed = {path.relative_to(ROOT).as_posix() for path in behind(name)}
    listed: set[str] = set()
    for dependency in PIPELINE["stages"][name]["deps"]:
        path = ROOT / dependency
        inside = path.rglob("*.py") if path.is_dir() else [path]
        listed |= {found.relative_to(ROOT).as_posix() for found in inside}
    assert {path for path in listed if path.startswith(("src/", "pipeline/"))} == needed


def behind(name: str) -> set[Path]:
    """The files that run in a stage and decide something; its own, the room's, and whatever both import."""
    room = {ROOM / part for part in ROOM_FILES[name]} if name in ROOM_FILES else set(ROOM.glob("*.py"))
    return files_behind(
        {ROOT / "pipeline" / f"{name}.py", *room}, frozenset({*(ROOT / path for path in NO_EFFECT), ROOM})
    )


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_reads_pretrained_weights_depends_on_their_hashes(name: str) -> None:
    assert (LOCK in PIPELINE["stages"][name]["deps"]) is (WEIGHTS in behind(name))


@pytest.mark.parametrize("name", STAGES)
def test_one_name_runs_through_stage_script_and_results(name: str) -> None:
    stage = PIPELINE["stages"][name]
    assert stage["cmd"] == f"python pipeline/{name}.py"
    assert (ROOT / "pipeline" / f"{name}.py").is_file()
    for out in stage["outs"]:
        assert (next(iter(out)) if isinstance(out, dict) else out).startswith(f"results/{name}/")


def test_what_stages_write_is_either_in_git_or_ignored_by_it() -> None:
    for stage in PIPELINE["stages"].values():
        for out in stage["outs"]:
            kept = isinstance(out, dict) and not next(iter(out.values())).get("cache", True)
            path = next(iter(out)) if isinstance(out, dict) else out
            command = ["git", "check-ignore", path, f"{path}/"]
            ignored = subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode == 0
            assert ignored is not kept, path


def test_every_plot_and_metric_is_an_output_so_that_it_is_never_of_another_run() -> None:
    outs = [
        next(iter(out)) if isinstance(out, dict) else out
        for stage in PIPELINE["stages"].values()
        for out in stage["outs"]
    ]
    files = list(PIPELINE["metrics"])
    for plot in PIPELINE["plots"]:
        name, how = next(iter(plot.items())) if isinstance(plot, dict) else (plot, {})
        files += how["y"] if isinstance(how.get("y"), dict) else [name]
    assert len(files) > len(PIPELINE["plots"])
    for file in files:
        assert any(file == out or file.startswith(f"{out}/") for out in outs), file


def test_the_study_checkpoints_and_runs_are_never_outputs() -> None:
    outs = json.dumps([stage["outs"] for stage in PIPELINE["stages"].values()])
    for word in (".assay", "mlruns", "trials.csv", "weights"):
        assert word not in outs
