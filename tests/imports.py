"""Which file of Assay imports which, read from the sources; what stands under TYPE_CHECKING runs nothing."""

import ast
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"


def sources() -> list[Path]:
    """Every file of the package."""
    return sorted((SOURCE / "assay").rglob("*.py"))


@cache
def imported(path: Path, top_only: bool = False) -> frozenset[str]:
    """Dotted names that a file imports, `from a import b` as both a and a.b; with `top_only` those at the top alone."""
    return frozenset(_names(ast.parse(path.read_text(encoding="utf-8")).body, top_only))


def files_behind(starts: Collection[Path], leave_out: frozenset[Path]) -> set[Path]:
    """The files of Assay that run when `starts` do, without those left out and what only they import."""
    seen: set[Path] = set()
    ahead = list(starts)
    while ahead:
        path = ahead.pop()
        out = path not in starts and any(path == out or out in path.parents for out in leave_out)
        if path not in seen and not out:
            seen.add(path)
            around = [name.rsplit(".", depth)[0] for name in imported(path) for depth in range(name.count(".") + 1)]
            ahead += [found for name in around if (found := file_of(name)) is not None]  # packages run with their parts
    return seen


def file_of(name: str) -> Path | None:
    """The file that a dotted name of Assay stands for; None for what is no module of it."""
    place = SOURCE.joinpath(*name.split("."))
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if name.startswith("assay") and path.exists():
            return path
    return None


def _names(body: list[ast.stmt], top_only: bool) -> Iterator[str]:
    for statement in body:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from _names(statement.orelse, top_only)
        elif isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            yield statement.module
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        elif not (top_only and isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)):
            inner = [getattr(statement, part, []) for part in ("body", "orelse", "finalbody")]
            inner += [handler.body for handler in getattr(statement, "handlers", [])]
            inner += [case.body for case in getattr(statement, "cases", [])]
            yield from _names([line for lines in inner for line in lines], top_only)
