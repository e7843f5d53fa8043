"""What settings must agree on with each other. Owns the rules between fields; the space's own are in space.py."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, get_args
from urllib.parse import urlsplit

from assay.params import LOSSES_OF_TASK, METRICS_OF_TASK, CostName, Params, Policy, flat
from assay.settings.constraint import constraint_problems
from assay.settings.document import Problem, Where
from assay.settings.space import BASE, recipe_field, space_problems
from assay.settings.wording import briefly, either, number_type, shown

ANY_TASK = frozenset(LOSSES_OF_TASK)
COSTS = get_args(CostName)
CLASSES_ONLY = ("label_smoothing", "class_weights", "augmentation.mixup", "augmentation.cutmix")


def disagreements(params: Params) -> list[Problem]:
    """Every rule between fields that `params` breaks."""
    found = [problem for rule in RULES for problem in rule(params)]
    return [*found, *misfits(params, possible_tasks(params)), *space_problems(params)]


def possible_tasks(params: Params) -> frozenset[str]:
    """The tasks that the data can turn out to have, from what is set alone."""
    if params.data.task != "auto":
        return frozenset({params.data.task})
    return frozenset({"classification"}) if params.data.source in ("digits", "folder") else ANY_TASK


def misfits(params: Params, tasks: Set[str]) -> Iterator[Problem]:
    """Losses, metrics and fields that fit none of `tasks`: those possible, or the one that the prepared data has."""
    about: tuple[Where, ...] = (("data", "task"), ("data", "source"))
    task = either(sorted(tasks))
    losses: list[tuple[str, Where, str]] = [("recipe.loss", ("recipe", "loss"), params.recipe.loss)]
    varied = params.search.space.get("loss")
    for choice in (varied.choices or []) if varied is not None else []:
        losses.append(("a choice of search.space.loss", ("search", "space", "loss", "choices"), choice))
    for name, where, value in losses:
        known = _names(LOSSES_OF_TASK, tasks)
        if value not in ("auto", *known) and value in _names(LOSSES_OF_TASK, ANY_TASK):
            says = f"{name} is {shown(value)}, which does not fit {task}; it must be {_listed(known)}."
            yield Problem(where, says, about)
    metric, known = params.search.watched, _names(METRICS_OF_TASK, tasks)
    if metric not in ("auto", *known, *COSTS):
        says = f"search.metric is {shown(metric)}, which does not fit {task}; it must be {_listed(known)}."
        yield Problem(("search", "metric"), says, about)
    if tasks == {"regression"}:
        yield from _needs_classes(params, about)
    if params.augment.balance and "classification" not in tasks:
        says = f"augment.balance is true, which needs one class a sample; in {task} it must be false."
        yield Problem(("augment", "balance"), says, about)


def _listed(words: tuple[str, ...]) -> str:
    return either(repr(word) for word in ("auto", *words))


def _names(table: Mapping[str, tuple[str, ...]], tasks: Set[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for task in table if task in tasks for name in table[task]))


def _needs_classes(params: Params, about: tuple[Where, ...]) -> Iterator[Problem]:
    values = flat(params.recipe)
    for name in CLASSES_ONLY:
        if values[name]:
            off = "null" if name == "class_weights" else "0"
            says = f"recipe.{name} is {briefly(values[name])}, which needs classes; in regression it must be {off}."
            yield Problem(("recipe", *name.split(".")), says, about)
        for where, value in _drawn(params, name):
            if value:
                says = f"search.space.{name} may be {briefly(value)}, which needs classes; in regression leave it out."
                yield Problem(where, says, about)


def _drawn(params: Params, name: str) -> list[tuple[Where, Any]]:
    """What the space can make of a field, each where it stands: every choice, or the ends of its range."""
    vary = params.search.space.get(name)
    here: Where = ("search", "space", name)
    if vary is None:
        return []
    if vary.choices is not None:
        return [((*here, "choices", number), value) for number, value in enumerate(vary.choices)]
    ends = [((*here, "low"), vary.low), ((*here, "high"), vary.high)]
    return [(where, value) for where, value in ends if value is not None]


def _blanks(params: Params) -> Iterator[Problem]:
    for name, value in flat(params).items():
        if isinstance(value, str) and not value.strip():
            yield Problem(tuple(name.split(".")), f"{name} is {shown(value)}; it must be text that says something.")


def _splits(params: Params) -> Iterator[Problem]:
    shares = flat(params.data.splits)
    where = ("data", "splits")
    total = sum(shares.values())
    if not math.isclose(total, 1, abs_tol=1e-6):
        listed = " + ".join(f"{name} {share:g}" for name, share in shares.items())
        yield Problem(where, f"data.splits sums to {total:.6g} ({listed}); it must sum to 1.")
    for name, share in shares.items():
        if share == 0:
            yield Problem((*where, name), f"data.splits.{name} is 0; each split needs a share above 0.")


def _source(params: Params) -> Iterator[Problem]:
    data = params.data
    where, about = ("data", "path"), (("data", "source"),)
    if data.source == "digits":
        if data.path is not None:
            says = (
                f"data.path is {shown(data.path)}, but data.source is 'digits'; it must be null, or the source another."
            )
            yield Problem(where, says, about)
    elif data.path is None:
        what = {"folder": "the folder", "table": "the table file", "hub": "the data set's name or folder"}[data.source]
        yield Problem(where, f"data.path is null; it must be {what}, since data.source is {shown(data.source)}.", about)
    if data.source in ("digits", "folder"):
        if data.task not in ("auto", "classification"):
            says = f"data.task is {shown(data.task)}; it must be 'auto' or 'classification' for {data.source}."
            yield Problem(("data", "task"), says, about)
        if data.group is not None:
            says = f"data.group is {shown(data.group)}; it must be null, since {data.source} has no columns."
            yield Problem(("data", "group"), says, about)


def _targets(params: Params) -> Iterator[Problem]:
    target, where = params.data.target, ("data", "target")
    if isinstance(target, str):
        return
    if not target or any(not name.strip() for name in target) or len(set(target)) < len(target):
        yield Problem(where, f"data.target is {shown(target)}; it must be a column or a list of different columns.")
    elif len(target) > 1 and params.data.task == "classification":
        says = f"data.target is {shown(target)}; it must be one column, since data.task is 'classification'."
        yield Problem(where, says, (("data", "task"),))


def _copies(params: Params) -> Iterator[Problem]:
    augment, about = params.augment, (("augment", "policy"),)
    if any(flat(augment.policy).values()):
        return
    remedy = f"one of {', '.join(Policy.model_fields)} must be above 0."
    for name, value in (("copies", augment.copies), ("balance", augment.balance)):
        if value:
            says = f"augment.{name} is {shown(value)}, but augment.policy changes nothing; {remedy}"
            yield Problem(("augment", name), says, about)


def _length(params: Params) -> Iterator[Problem]:
    recipe, search = params.recipe, params.search
    if recipe.schedule.warmup >= recipe.epochs:
        warmup = briefly(recipe.schedule.warmup)
        says = f"recipe.schedule.warmup is {warmup}; it must be below recipe.epochs, {recipe.epochs}."
        yield Problem(("recipe", "schedule", "warmup"), says, (("recipe", "epochs"),))
    yield from _length_in_space(params)
    most = search.epochs or recipe.epochs
    if search.min_epochs != "auto" and search.min_epochs > most:
        says = f"search.min_epochs is {search.min_epochs}; it must be at most the epochs of a trial, {most}."
        yield Problem(("search", "min_epochs"), says, (("search", "epochs"), ("recipe", "epochs")))


def _length_in_space(params: Params) -> Iterator[Problem]:
    """The most epochs that a trial may draw against the most that it may have, and the longest warm-up against the
    fewest."""
    warmups, epochs = _drawn(params, "schedule.warmup"), _drawn(params, "epochs")
    most = params.search.epochs or math.inf
    for where, drawn in epochs:
        if isinstance(drawn, (int, float)) and drawn > most:
            says = f"search.space.epochs may be {briefly(drawn)}, but search.epochs is {most}, the most of a trial; "
            yield Problem(where, f"{says}set search.epochs to null, or to as many.", (("search", "epochs"),))
            break
    if warmups and epochs and any(params.search.space[name].when for name in ("schedule.warmup", "epochs")):
        return  # their conditions may keep the two apart
    numbers = [(where, value) for where, value in warmups if isinstance(value, (int, float))]
    where, longest = max(numbers, key=lambda one: one[1], default=(("recipe",), params.recipe.schedule.warmup))
    drawn = [value for _, value in epochs if isinstance(value, (int, float))]
    fewest = min(drawn, default=params.search.epochs or params.recipe.epochs)
    if (warmups or epochs) and longest >= fewest:
        where = where if warmups else ("search", "space", "epochs")
        says = (
            f"schedule.warmup may be {briefly(longest)} in search.space, and a trial may have {briefly(fewest)} epochs"
        )
        yield Problem(where, f"{says}; it must be below them.", (("recipe", "epochs"), ("search", "epochs")))


def _trials(params: Params) -> Iterator[Problem]:
    search = params.search
    written = "trials" in search.model_fields_set  # nobody who wrote neither asked for a search
    if written and search.trials > 1 and not search.space:
        says = f"search.trials is {search.trials}, but search.space is empty; give a space, or set search.trials to 0."
        yield Problem(("search", "trials"), says, (("search", "space"),))
    gpu = search.resources.gpu
    if gpu > 1 and gpu != int(gpu):
        says = f"search.resources.gpu is {shown(gpu)}; above 1 it must be a whole number."
        yield Problem(("search", "resources", "gpu"), says)


def _objectives(params: Params) -> Iterator[Problem]:
    search, where = params.search, ("search", "metric")
    if search.watched in COSTS:
        says = f"search.metric begins with {shown(search.watched)}; the first must be a metric, and costs follow: "
        yield Problem(where, f"{says}[auto, {search.watched}].")
    for name in search.costs:
        if name not in COSTS:
            says = f"search.metric has {shown(name)} behind the first; the others must be costs: {', '.join(COSTS)}."
            yield Problem(where, says)
        elif search.costs.count(name) > 1:
            yield Problem(where, f"search.metric has {shown(name)} twice; each may stand there once.")
            break
    if search.pick == {}:
        yield Problem(("search", "pick"), "search.pick is {}; it must be 'knee' or limit at least one cost.", (where,))
    for name in search.pick if isinstance(search.pick, dict) else ():
        if name not in search.costs:
            says = f"search.pick limits {shown(name)}, which search.metric does not have; it must stand there."
            yield Problem(("search", "pick"), says, (where,))
    if search.costs and search.finals != "off":
        says = "search.finals compares one metric, and search.metric has costs too; set one of the two back."
        yield Problem(("search", "finals"), says, (where,))


def _finals(params: Params) -> Iterator[Problem]:
    if params.search.prefer_base and params.search.finals == "off":
        says = "search.prefer_base is true, but search.finals is off, so that nothing is shown to be better; "
        yield Problem(("search", "prefer_base"), f"{says}set search.finals to small.", (("search", "finals"),))


def _grid(params: Params) -> Iterator[Problem]:
    if params.search.sampler != "grid":
        return
    for name, vary in params.search.space.items():
        whole = name in flat(BASE) and number_type(recipe_field(name)) is int and not vary.log
        if vary.choices is None and vary.step is None and not whole:
            found = "log, whose values are no steps" if vary.log else "endless values"
            must = "choices" if vary.log else "a step or choices"
            says = f"search.space.{name} has {found}; for search.sampler 'grid' it must have {must}."
            yield Problem(("search", "space", name), says, (("search", "sampler"),))


def _schedule(params: Params) -> Iterator[Problem]:
    line, where = params.retrain.schedule, ("retrain", "schedule")
    if line is None or not line.strip():
        return
    from assay.crontab import EXAMPLE, problem  # what reckons with it takes a while to import, and few have one

    wrong = problem(line)
    if wrong is not None:
        says = f"retrain.schedule is {shown(line)}, which {wrong}; it must be a crontab line such as {EXAMPLE}."
        yield Problem(where, says)


def _notify(params: Params) -> Iterator[Problem]:
    """An address must be one that can be sent to; whatever else is a command, which the shell judges."""
    told, where = params.retrain.notify, ("retrain", "notify")
    if told is None or not re.match(r"\s*[A-Za-z][A-Za-z0-9+.-]*://", told):
        return
    says = f"retrain.notify is {shown(told)}, "
    try:
        parts = urlsplit(told)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or re.search(r"[^!-~]", told):
        yield Problem(where, f"{says}which is no address; it must be http:// or https:// with a host, or a command.")
    elif "@" in parts.netloc:
        yield Problem(where, f"{says}with a name or password in it, which is sent to nobody; leave it out.")


RULES: tuple[Callable[[Params], Iterator[Problem]], ...] = (
    _blanks,
    _splits,
    _source,
    _targets,
    _copies,
    _length,
    _trials,
    _finals,
    _objectives,
    _grid,
    _schedule,
    _notify,
    constraint_problems,
)
