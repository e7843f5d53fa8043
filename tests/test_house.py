"""The rules of the house, as tests: sizes, names, who may import what. An exception stands here, with its reason."""

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imports import ROOT, SOURCE, imported, sources

FILE_LINES, FUNCTION_LINES, STAGE_LINES = 400, 60, 40
LONGER_FILES: dict[str, str] = {}  # path → reason
LONGER_FUNCTIONS: dict[str, str] = {}  # path::name → reason
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler", "managers", "handlers"}
BORDERS = {  # a foreign tool → the only places that may import it
    "mlflow": ("src/assay/tracking/", "src/assay/registry/versions.py"),
    "ray": ("src/assay/search/",),
    "optuna": ("src/assay/search/", "src/assay/studies/"),
    "optuna_dashboard": ("src/assay/studies/dashboard.py",),
    "dvc": (),
    "timm": ("src/assay/image/", "src/assay/weights.py", "src/assay/descent.py"),
    "captum": ("src/assay/explain.py", "src/assay/image/"),
    "fastapi": ("src/assay/serve/",),
    "uvicorn": ("src/assay/serve/",),
    "prometheus_client": ("src/assay/serve/",),
    "typer": ("src/assay/cli/",),
    "rich": ("src/assay/terminal.py",),
    "apscheduler": ("src/assay/crontab.py", "src/assay/retrain/"),
    "ruamel": ("src/assay/settings/",),
}
HEAVY = ("torch", "torchvision", "timm", "ray", "mlflow", "optuna", "pandas", "matplotlib", "sklearn", "scipy", "numpy")


def tracked(*suffixes: str) -> list[Path]:
    """Files that git tracks, and new ones that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (ROOT / name for name in listed.split("\0") if name)
    return sorted(path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a file and its lines, the decorators and the docstring left out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body[0]
            assert node.end_lineno is not None
            yield f"{name_of(path)}::{node.name}", node.end_lineno - first.lineno + 2


PYTHON = tracked(".py")
OURS = [path for path in PYTHON if SOURCE in path.parents]


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_a_file_stays_under_400_lines(path: Path) -> None:
    count = len(path.read_text(encoding="utf-8").splitlines())
    assert count < FILE_LINES or name_of(path) in LONGER_FILES, f"{count} lines"


@pytest.mark.parametrize("path", PYTHON, ids=name_of)
def test_a_function_stays_under_60_lines(path: Path) -> None:
    longer = {name: lines for name, lines in functions(path) if lines >= FUNCTION_LINES}
    assert longer.keys() <= LONGER_FUNCTIONS.keys(), longer


def test_functions_have_about_ten_lines_at_the_median() -> None:
    lines = [count for path in OURS for _, count in functions(path)]
    assert statistics.median(lines) <= 12


@pytest.mark.parametrize("path", sorted((ROOT / "pipeline").glob("*.py")), ids=name_of)
def test_a_stage_script_is_under_40_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < STAGE_LINES


def test_nothing_is_named_after_nothing() -> None:
    bad = [name_of(path) for path in tracked() if FORBIDDEN & set(re.split(r"[/._]", name_of(path).lower()))]
    assert bad == []


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_a_module_says_what_it_owns(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if text.strip():
        said = ast.get_docstring(ast.parse(text))
        assert said, "a module begins with what it owns and what it never touches"


@pytest.mark.parametrize("tool", BORDERS)
def test_a_foreign_tool_stands_at_its_border(tool: str) -> None:
    beyond = [
        name_of(path)
        for path in [*sources(), *(ROOT / "pipeline").glob("*.py")]
        if any(name == tool or name.startswith(f"{tool}.") for name in imported(path))
        and not name_of(path).startswith(BORDERS[tool])
    ]
    assert beyond == []


@pytest.mark.parametrize(
    "module",
    [
        "cli/__init__",
        "cli/studies",
        "cli/champion",
        "cli/schedule",
        "cli/serve",
        "cli/retrain",
        "cli/drift",
        "terminal",
        "errors",
        "params",
        "settings/__init__",
    ],
)
def test_what_the_command_needs_at_once_imports_nothing_heavy_at_its_top(module: str) -> None:
    names = imported(SOURCE / "assay" / f"{module}.py", top_only=True)
    assert not [name for name in names if name.split(".")[0] in HEAVY]


@pytest.mark.parametrize("path", tracked(), ids=name_of)
def test_no_file_names_a_machine(path: Path) -> None:
    """No home, no working folder, no address of a package registry: what holds on one machine alone."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        pytest.skip("it is no text")
    machine = re.compile(r"(/home/\w+|/root/|/Users/\w+|/work/|C:\\\\Users|--(extra-)?index-url|/simple/)")
    found = [line for line in text.splitlines() if machine.search(line)] if path != Path(__file__) else []
    assert found == []


TESTS = [path for path in PYTHON if "tests" in path.parts]


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_an_expected_error_names_its_sentence(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("pytest.raises", "pytest.warns"):
            assert any(word.arg == "match" for word in node.keywords), f"line {node.lineno}: no match="


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_a_test_waits_for_a_state_and_not_for_time(path: Path) -> None:
    """A sleep stands in a loop that looks again, nowhere else."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    loops = [loop for loop in ast.walk(tree) if isinstance(loop, ast.While)]
    polling = {id(node) for loop in loops for node in ast.walk(loop)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("time.sleep", "sleep"):
            assert id(node) in polling, f"line {node.lineno}"


def test_every_dependency_names_the_room_that_needs_it() -> None:
    import tomllib

    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    for dependency in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        line = next(line for line in text.splitlines() if f'"{dependency}"' in line)
        assert re.search(r"#\s*\S+", line), f"{dependency} has no reason"
