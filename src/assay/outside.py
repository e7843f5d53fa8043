"""What the settings point to outside of themselves: labels, stores, the machine, weights. Owns the looks that
`assay params --check` takes at them, each of a second or two at most; runs and writes nothing.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from assay.buildable import networks, where_of
from assay.data.dataset import About
from assay.data.decoding import decode_one
from assay.data.prepare import Plan, plan
from assay.errors import InputError
from assay.modality import Spec
from assay.params import Data, Params, Recipe, Search, Tracking
from assay.settings.document import Problem, Where
from assay.tracking import address

LOOK_AT = 8  # pictures, where the first cannot be read
ANSWER_S = 5  # a database in reach answers in milliseconds


def planned(data: Data, slices: Sequence[str]) -> Plan | None:
    """The source, opened, and what is to be predicted, from one pass over the labels; None where it is known, or a
    network must be asked.

    Raises:
        InputError: the source is not there, or its labels do not fit the task.
    """
    if (data.source == "digits" and not slices) or (data.source == "hub" and not Path(str(data.path)).exists()):
        return None
    return plan(data, slices)


def sized(params: Params, of: Plan) -> Params:
    """`params` with the pictures' own size, where they name none: that of the first which can be read.

    The same `params` where it is named, or cannot be known.
    """
    if params.data.image_size is not None or params.data.source == "digits":
        return params
    for raw in islice(of.source, LOOK_AT):
        sample = decode_one(raw, params.data).sample
        if sample is not None and len(set(sample.size)) == 1:
            data = params.data.model_copy(update={"image_size": sample.size[0]})
            return params.model_copy(update={"data": data})
    return params


def outside_problems(params: Params, about: About | None) -> Iterator[Problem]:
    """What is wrong outside; the sentences name their setting."""
    yield from _raised(("tracking", "uri"), partial(_store, params.tracking))
    if params.promote.storage is not None:
        yield from _raised(("promote", "storage"), partial(_decisions, params.promote.storage))
    if params.search.trials and params.search.space:
        if params.search.storage is not None:
            yield from _raised(("search", "storage"), partial(_storage, params.search.storage))
        if params.search.earlier:
            yield from _raised(("search", "from"), partial(_earlier, params.search))
        yield from _resources(params.search)
    yield from _precision(params)
    for recipe, spec, size_known in networks(params, about):
        if recipe.pretrained:
            where = where_of("pretrained", recipe, params)
            yield from _raised(where, partial(_weights, recipe, spec, size_known=size_known))


def _raised(where: Where, look: Callable[[], object]) -> Iterator[Problem]:
    try:
        look()
    except InputError as error:
        yield from (Problem(where, sentence) for sentence in error.sentences)


def _store(tracking: Tracking) -> None:
    found = address.resolve(tracking, Path())
    if found.database is None or found.database.parent.is_dir():  # a folder that is not there yet can be made
        address.reach(found)


def _storage(uri: str) -> None:
    """Whether the study's database answers; one of sqlite that is not there yet needs its folder."""
    import sqlalchemy  # this and Optuna take 0.6 s, of those who have set one

    from assay.search.store import refuse_place, translated

    with translated(uri, Path()):
        refuse_place(uri)
        url = sqlalchemy.make_url(uri)
        if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
            if not Path(str(url.database)).parent.is_dir():
                raise InputError(f"search.storage is {address.masked(uri)!r}; there is no such folder; make it first.")
            return
        limit = {"connect_timeout": ANSWER_S} if url.get_backend_name() in ("postgresql", "mysql") else {}
        engine = sqlalchemy.create_engine(url, connect_args=limit)
        with engine.connect() as connection:
            sqlalchemy.inspect(connection).get_table_names()
        engine.dispose()


def _decisions(uri: str) -> None:
    """Whether the database of the decisions answers."""
    from assay.registry.book import reach

    reach(uri, ANSWER_S)


def _earlier(search: Search) -> None:
    from assay.search import STUDIES
    from assay.search.earlier import check_names

    check_names(search.earlier, STUDIES, search.storage)


def _resources(search: Search) -> Iterator[Problem]:
    """What a trial asks for against this machine, where no cluster is named that may have more."""
    if os.environ.get("RAY_ADDRESS"):
        return
    has = {"cpu": float(os.cpu_count() or 1)}
    if search.resources.gpu:
        import torch

        has["gpu"] = float(torch.cuda.device_count())
    for name, count in has.items():
        asked = getattr(search.resources, name)
        if asked > count:
            kind = {"cpu": "CPU cores", "gpu": "GPUs"}[name]
            says = f"search.resources.{name} is {asked:g}; this machine has {count:g} {kind}."
            yield Problem(("search", "resources", name), says)


def _precision(params: Params) -> Iterator[Problem]:
    """fp16 where what trains cannot compute in it; torch is asked only where fp16 is named."""
    vary = params.search.space.get("precision") if params.search.trials else None
    places: list[Where] = [("recipe", "precision")] if params.recipe.precision == "fp16" else []
    choices = enumerate((vary.choices or []) if vary is not None else [])
    places += [("search", "space", "precision", "choices", number) for number, word in choices if word == "fp16"]
    if not places:
        return
    import torch

    from assay.device import resolve_device, resolve_precision

    trials_on_cpu = params.search.trials and params.search.space and not params.search.resources.gpu
    device = torch.device("cpu") if trials_on_cpu else resolve_device(None)
    for where in places:
        yield from _raised(where, partial(resolve_precision, "fp16", device))


def _weights(recipe: Recipe, spec: Spec, *, size_known: bool) -> None:
    """Whether weights are here or to be had, are whole and, for samples of `spec`, fit; buildable.py says the rest."""
    from assay import modality
    from assay.models import build_model, check_recipe
    from assay.weights import check, weights_of

    if not isinstance(recipe.pretrained, str):
        backbone = modality.of(spec.modality).backbones().get(recipe.backbone)
        if backbone is not None and backbone.pretrained:
            check(recipe.backbone, Path())
        return
    if not Path(recipe.pretrained).exists():
        return
    weights = weights_of(recipe, Path())
    if not size_known:
        return
    try:
        check_recipe(recipe, spec)
    except InputError:
        return
    build_model(recipe, spec, 2, weights)
