"""Everything that can be known before anything runs. Owns the check that every stage begins with; runs nothing.

Files, networks and their inputs, the prepared data: what settings.load cannot see from params.yaml alone. The sentences
are those of the rooms; here they get their line. Each room names the setting first, as in `recipe.backbone: 'x' is …`.
"""

import errno
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from operator import eq
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.buildable import FIELDS, network_problems, remember, unknown_backbones
from assay.data.dataset import About, read_about, sliced_by
from assay.errors import InputError, of_path
from assay.modality import of
from assay.params import PARAMS_PATH, Data, Params, flat
from assay.places import PREPARED
from assay.settings import explain_rows, load_document, refuse
from assay.settings.agreement import misfits
from assay.settings.document import Document, Problem, Where, read_document
from assay.settings.wording import shown

if TYPE_CHECKING:
    from assay.data.prepare import Plan

PREPARED_BY = Path(".assay/prepared.json")  # not beside the data: a path among the settings must not make it another
PLACES = ("results", *(f"results/{name}" for name in ("prepare", "augment", "search", "train", "evaluate")), ".assay")
Labels = tuple[str, tuple[str, ...] | None]  # the task, and its classes where it has some
NO_MATTER = ("workers", "pull")  # of `data`: how fast samples come, and how new ones do
NAMED = re.compile(r"((?:data|augment|recipe|search|evaluate|promote|retrain|drift|serve|tracking)(?:\.\w+)+)[: ]")


def checked(path: str | Path = PARAMS_PATH, *, thorough: bool = False, on_prepared: bool = False) -> Params:
    """Read params.yaml and check it against all that is known before running.

    The source of the data is looked at while nothing is prepared yet. `thorough` is for a person who asks: the labels,
    the stores, the machine and weights are looked at too, which a stage finds out soon enough by itself. `on_prepared`
    is for the stages after prepare: what is prepared must be of these settings.

    Raises:
        InputError: every problem, one sentence each.
    """
    _refuse_places()
    params, document, wrong = load_document(path)
    wrong += _raised(lambda: of(params.data.modality)) or (_in_spite_of(wrong, params) if wrong else [])
    refuse(document, wrong)
    about = _prepared(params.data)
    problems = [*(_stale(params) if on_prepared else ()), *_raised(lambda: _tracking(params))]
    labels: Labels | None = None if about is None else (about.task, about.classes)
    seen = params
    if thorough:
        from assay.outside import outside_problems, planned, sized

        plans: list[Plan | None] = []
        problems += _raised(lambda: plans.append(planned(params.data, params.evaluate.slices)))
        plan = next(iter(plans), None)
        labels = labels if plan is None else (plan.targets.task, plan.targets.classes)
        seen = sized(params, plan) if about is None and plan is not None else params
        problems += outside_problems(seen, about)
    elif about is None:
        problems += _raised(lambda: _source(params))
    problems += _of_labels(params, labels or _known_labels(params))
    sound: set[str] = set()
    refuse(document, [*problems, *network_problems(seen, about, sound)])
    remember(sound)
    return params


def _in_spite_of(wrong: Sequence[Problem], params: Params) -> list[Problem]:
    """What else can be known of data and networks where settings are wrong, and rests on none of those."""

    def sound(*names: str) -> bool:
        """Whether neither this setting nor a part of it nor one around it is wrong."""
        return not any(all(map(eq, problem.where, names)) for problem in wrong)

    about = _prepared(params.data)
    found = _raised(lambda: _source(params)) if sound("data") and sound("evaluate", "slices") and about is None else []
    deciding = (("data",), ("search", "trials"), ("search", "space"), *(("recipe", name) for name in FIELDS))
    if all(sound(*names) for names in deciding):
        return [*found, *network_problems(params, about, set())]
    return [*found, *unknown_backbones(params)]


def check_plan(params: Params, plan: "Plan") -> None:
    """Check the settings against labels and pictures, where `prepare` has opened them and nothing is prepared yet.

    Raises:
        InputError: losses, classes or networks do not fit them; one sentence each.
    """
    from assay.outside import sized

    seen = sized(params, plan)
    unfit = [] if seen is params else list(network_problems(seen, None, set()))
    document = read_document(PARAMS_PATH, "")
    refuse(document, [*_of_labels(params, (plan.targets.task, plan.targets.classes)), *unfit])


def placed(error: InputError) -> InputError:
    """`error` with file and line before each sentence that begins with a setting's name; the rest as it was.

    A setting that the space varies stands there: what a trial or the winner has came from it.
    """
    try:
        document = read_document(PARAMS_PATH, "")
    except InputError:
        return error
    return InputError(*(_placed(sentence, document) for sentence in error.sentences))


def _placed(sentence: str, document: Document) -> str:
    where = _where(sentence)
    if not where:
        return sentence
    varied: Where = ("search", "space", ".".join(map(str, where[1:])))
    if where[0] == "recipe" and document.has(varied):
        where = varied
    return f"{document.at(where)}: {sentence}"


def _refuse_places() -> None:
    """Find out now, and not after the work, that what comes of it cannot be written."""
    for path in filter(Path.exists, map(Path, PLACES)):
        if not path.is_dir():
            wrong = errno.EEXIST
        elif not os.access(path, os.W_OK | os.X_OK):
            wrong = errno.EACCES
        else:
            continue
        raise InputError(of_path(OSError(wrong, os.strerror(wrong), str(path))))


def _prepared(data: Data) -> About | None:
    """What is prepared by these settings; nothing where it is damaged: that is for the stage to say that opens it."""
    try:
        return None if _former(data) else read_about(PREPARED)
    except InputError:
        return None


def note_prepared(data: Data, version: str) -> None:
    """Note that the data of this version came of these settings; under others it says nothing about them."""
    noted = _noted()
    known = noted.setdefault(version, [])
    if _deciding(data) not in known:
        known.append(_deciding(data))
    PREPARED_BY.parent.mkdir(parents=True, exist_ok=True)
    PREPARED_BY.write_text(json.dumps(noted), encoding="utf-8")


def _stale(params: Params) -> Iterator[Problem]:
    former = _former(params.data)
    if former:
        said = ", ".join(f"data.{name} {shown(value)}" for name, value in former.items())
        says = f"{PREPARED} was prepared with {said}; run `assay prepare` or `dvc repro`, or set that again."
        yield Problem(("data", *next(iter(former)).split(".")), says)
    elif params.evaluate.slices:
        yield from _raised(lambda: _refuse_unsliced(params.evaluate.slices))


def _refuse_unsliced(slices: Sequence[str]) -> None:
    missing = sorted(set(slices) - sliced_by(PREPARED))
    if missing and PREPARED.exists():
        said = ", ".join(map(repr, missing))
        raise InputError(
            f"evaluate.slices: {PREPARED} was prepared without {said}; run `assay prepare` or `dvc repro`, or set []."
        )


def _former(data: Data) -> dict[str, Any]:
    """The settings that are others now than those which the prepared data came of, each as it was.

    Nothing where nobody noted what they came of, as when DVC brought them; one version may have come in several ways.
    """
    try:
        ways = _noted().get(read_about(PREPARED).version, [])
    except InputError:
        return {}
    now = _deciding(data)
    found = [{name: was for name, was in way.items() if name in now and now[name] != was} for way in ways]
    return min(found, key=len, default={})


def _noted() -> dict[str, list[dict[str, Any]]]:
    """Version of prepared data → the settings that it came of."""
    try:
        noted = json.loads(PREPARED_BY.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it says nothing any more, and nothing is lost
        noted = None
    return noted if isinstance(noted, dict) else {}


def _deciding(data: Data) -> dict[str, Any]:
    return {name: value for name, value in flat(data).items() if name not in NO_MATTER}


def _source(params: Params) -> None:
    data, slices = params.data, params.evaluate.slices
    # the hub may have to be asked over a network, digits are always there and have no columns
    if data.source in ("folder", "table") or (data.source == "digits" and slices):
        from assay.data.sources import open_source

        open_source(data, slices)


def _tracking(params: Params) -> None:
    from assay.tracking.address import resolve

    resolve(params.tracking, Path.cwd())


def _raised(look: Callable[[], object]) -> list[Problem]:
    try:
        look()
    except InputError as error:
        return [Problem(_where(sentence), sentence) for sentence in error.sentences]
    return []


def _known_labels(params: Params) -> Labels | None:
    return ("classification", tuple("0123456789")) if params.data.source == "digits" else None


def _of_labels(params: Params, labels: Labels | None) -> Iterator[Problem]:
    """What fits neither the task nor the classes that there are."""
    if labels is not None:
        task, classes = labels
        yield from misfits(params, {task})
        yield from _classes(params, classes)


def _where(sentence: str) -> Where:
    """The setting or section that a sentence begins with; a file may be called `data.csv`."""
    named = NAMED.match(sentence)
    known = named is not None and any(f"{row.name}.".startswith(f"{named[1]}.") for row in explain_rows())
    return tuple(named[1].split(".")) if named is not None and known else ()


def _classes(params: Params, classes: Sequence[str] | None) -> Iterator[Problem]:
    """Class weights, in the recipe and in the space, against the classes that there are."""
    vary = params.search.space.get("class_weights")
    given: list[tuple[Where, Any]] = [(("recipe", "class_weights"), params.recipe.class_weights)]
    for number, choice in enumerate((vary.choices or []) if vary is not None else []):
        given.append((("search", "space", "class_weights", "choices", number), choice))
    for where, weights in given:
        if isinstance(weights, dict) and classes is not None and weights.keys() != set(classes):
            wrong = sorted(weights.keys() ^ set(classes))
            says = f"recipe.class_weights differs from the classes of the data in {', '.join(map(repr, wrong[:8]))}"
            yield Problem(where, f"{says}; it must have a weight for each class and no other.")
