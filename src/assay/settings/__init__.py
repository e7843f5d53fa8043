"""Settings and recipes, read and written. Owns params.yaml's way into `Params` and every sentence about a wrong one.

`load` reads what a person set, `read_recipe` and `write_recipe` what search chose, `explain` lists what may be set.
"""

import io
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML

from assay.errors import InputError
from assay.params import PARAMS_PATH, Params, Recipe, flat, nested
from assay.settings.agreement import disagreements
from assay.settings.document import Document, Problem, Where, read_document
from assay.settings.validation import validated
from assay.settings.wording import explain_rows, yaml_word
from assay.whole import write_whole

__all__ = ["explain", "explain_rows", "load", "load_document", "read_recipe", "refuse", "write_recipe", "yaml_word"]


def load(path: str | Path = PARAMS_PATH) -> Params:
    """Read and check params.yaml: types, ranges, names, and what settings must agree on.

    Raises:
        InputError: every problem of the file, one sentence each, in the order of its lines.
    """
    params, document, problems = load_document(path)
    refuse(document, problems)
    return params


def load_document(path: str | Path) -> tuple[Params, Document, list[Problem]]:
    """As `load`, with the lines that a later check points to, and what is wrong; its defaults stand in `Params`.

    Raises:
        InputError: the file cannot be read.
    """
    document = read_document(path, "write one, or run assay in the folder that holds it.")
    params, wrong, problems = validated(Params, document)
    problems += [problem for problem in disagreements(params) if not _touches(problem, wrong)]
    return params, document, problems


def read_recipe(path: str | Path, remedy: str = "run `assay search` first.") -> Recipe:
    """Read a recipe that `write_recipe` wrote, or one written by hand in the same names; `remedy` where there is none.

    Raises:
        InputError: the file is missing, or says what no recipe says.
    """
    document = read_document(path, remedy)
    recipe, _, problems = validated(Recipe, document)
    refuse(document, problems)
    return recipe


def write_recipe(recipe: Recipe, path: str | Path) -> None:
    """Write every field of `recipe` as plain YAML in the order of params.py: equal recipes give equal bytes.

    The file is there whole or not at all: a part of a recipe would be another recipe.

    Raises:
        InputError: the disk is full or not writable.
    """
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = False  # escaped: ruamel writes a line break of Unicode as it is and reads it as a blank
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares it None
    text = io.StringIO()
    writer.dump(nested(flat(recipe)), text)
    write_whole(text.getvalue().encode(), Path(path))


def refuse(document: Document, problems: Sequence[Problem]) -> None:
    """Raise `problems` as one error with their lines, in the order of the file; nothing where there are none.

    Raises:
        InputError: there is at least one problem.
    """
    placed = [(document.at(problem.where), problem.says) for problem in problems]
    placed.sort(key=lambda item: item[0].line or 0)
    sentences = dict.fromkeys(f"{position}: {says}" for position, says in placed)
    if sentences:
        raise InputError(*sentences)


def explain() -> str:
    """Every setting: name, type, range, default and meaning, as a table in Markdown."""
    rows = [("name", "type", "range", "default", "meaning"), ("---",) * 5]
    rows += [(f"`{row.name}`", row.kind, row.range, f"`{row.default}`", row.meaning) for row in explain_rows()]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def _touches(problem: Problem, wrong: set[Where]) -> bool:
    """Whether a disagreement rests on a value that is wrong by itself and was set aside, or on a part of it."""
    shortest = ((bad, where, min(len(bad), len(where))) for bad in wrong for where in (problem.where, *problem.about))
    return any(bad[:length] == where[:length] for bad, where, length in shortest)
