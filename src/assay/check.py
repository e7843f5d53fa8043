"""Everything that can be known before anything runs. Owns the check that every stage begins with; runs nothing.

Files, networks and their inputs, the prepared data: what settings.load cannot see from params.yaml alone. The sentences
are those of the rooms; here they get their line. Each room names the setting first, as in `recipe.backbone: 'x' is …`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from assay.buildable import network_problems
from assay.data.dataset import About, read_about
from assay.errors import InputError
from assay.params import PARAMS_PATH, Data, Params
from assay.settings import load_document, refuse
from assay.settings.agreement import misfits
from assay.settings.document import Problem, Where

PREPARED = Path("results/prepare/data")
NAMED = re.compile(r"((?:data|augment|recipe|search|evaluate|tracking)(?:\.\w+)+)[: ]")


def checked(path: str | Path = PARAMS_PATH, thorough: bool = False) -> Params:
    """Read params.yaml and check it against all that is known before running.

    The source of the data is looked at while nothing is prepared yet, or where `thorough`: later stages do without it.

    Raises:
        InputError: every problem, one sentence each.
    """
    params, document = load_document(path)
    about = _prepared()
    problems = _raised(lambda: _tracking(params))
    if thorough or about is None:
        problems += _raised(lambda: _source(params.data))
    if about is not None:
        problems += [*misfits(params, {about.task}), *_classes(params, about)]
    refuse(document, [*problems, *network_problems(params, about)])
    return params


def _prepared() -> About | None:
    """What is prepared already; nothing where it is damaged: that is for the stage to say that opens it."""
    try:
        return read_about(PREPARED)
    except InputError:
        return None


def _source(data: Data) -> None:
    if data.source in ("folder", "table"):  # the hub may have to be asked over a network, digits are always there
        from assay.data.sources import open_source

        open_source(data)


def _tracking(params: Params) -> None:
    from assay.tracking.address import resolve

    resolve(params.tracking, Path.cwd())


def _raised(look: Callable[[], None]) -> list[Problem]:
    try:
        look()
    except InputError as error:
        return [Problem(_where(sentence), sentence) for sentence in error.sentences]
    return []


def _where(sentence: str) -> Where:
    named = NAMED.match(sentence)
    return tuple(named[1].split(".")) if named else ()


def _classes(params: Params, about: About) -> Iterator[Problem]:
    """Class weights against the classes that there are."""
    given = params.recipe.class_weights
    if not isinstance(given, dict) or about.classes is None or given.keys() == set(about.classes):
        return
    wrong = sorted(given.keys() ^ set(about.classes))
    says = f"recipe.class_weights differs from the classes of the data in {', '.join(map(repr, wrong[:8]))}"
    yield Problem(("recipe", "class_weights"), f"{says}; it must have a weight for each class and no other.")
