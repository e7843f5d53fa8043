"""README says what the code says: the settings table, the verbs, the targets, and the sentences a person may meet."""

import ast
import importlib.util
import re
from functools import cache
from types import ModuleType

import pytest
from typer.main import get_command

from assay.cli import app
from assay.params import Params
from bad_values import fields
from clusters import SUBMIT
from imports import ROOT, sources

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROSE = re.sub(r"<!-- settings -->.*?<!-- /settings -->", "", README, flags=re.DOTALL)
DOCUMENTS = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")
}


def settings_table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("settings_table", ROOT / "docs" / "settings_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def said_by_the_code() -> str:
    """Every piece of text in Assay's sources; what is filled in stands between two pieces."""
    texts = [node.value for path in sources() for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
             if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
    return "\0".join(texts).replace("`", "")  # quoted in README, where they cannot stand


def troubles() -> list[str]:
    """The sentences of the section on troubles; … stands for what differs."""
    section = README.split("## Troubles", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `(.+?)` \|", section, flags=re.MULTILINE)


def test_the_settings_table_is_what_params_py_says() -> None:
    assert settings_table().with_table(README) == README, "run: python docs/settings_table.py"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_setting_that_is_named_exists(name: str) -> None:
    known = {setting for setting, _ in fields()}
    sections = {".".join(setting.split(".")[:end]) for setting in known for end in range(1, setting.count(".") + 1)}
    roots = "|".join(Params.model_fields)
    named = re.findall(rf"`((?:{roots})\.[a-z_0-9.]+)`", DOCUMENTS[name])
    named += re.findall(rf"-S ((?:{roots})\.[a-z_0-9.]+)=", DOCUMENTS[name])
    strange = [one for one in named if one not in known | sections and not one.endswith((".py", ".yaml"))]
    assert strange == []


def test_every_verb_that_is_named_exists() -> None:
    named = set(re.findall(r"(?:`|^    |\n)assay ([a-z]+)", PROSE))
    assert named <= set(get_command(app).commands)  # type: ignore[attr-defined]
    assert named


def test_every_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"(?:`|^    )make ([a-z]+)", PROSE, flags=re.MULTILINE)) <= targets


def test_a_search_is_submitted_as_the_test_of_a_cluster_does_it() -> None:
    assert f"    {' '.join(SUBMIT)} " in README


@pytest.mark.parametrize("sentence", troubles())
def test_a_trouble_is_a_sentence_of_the_code(sentence: str) -> None:
    pieces = [piece.strip(" :'") for piece in re.split("[…;]", sentence)]
    assert [piece for piece in pieces if piece not in said_by_the_code()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_is_linked_is_there(name: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", DOCUMENTS[name]) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []
