"""What a study is of, in words that outlive its params.yaml, and its name, which is their hash. Owns which settings
make another search of it, and which continue the same.
"""

import json
import math
import uuid
from hashlib import blake2b
from typing import Any

import optuna

from assay.params import Recipe, Search, flat

ABOUT, ID = "about", "id"  # user attributes of the study
FORMAT = 4  # of what we keep in a study; another format is another study
# Settings of a search that are no part of its policy, or are told beside it.
ELSEWHERE = {
    *("trials", "budget", "epochs", "workers", "resources", "trial_timeout", "metric", "pick", "storage", "space"),
    *("finals", "prefer_base", "storage_path"),
}


def searched_base(search: Search, recipe: Recipe) -> Recipe:
    """The base recipe as it is searched: trained as long as a trial is."""
    return recipe if search.epochs is None else recipe.model_copy(update={"epochs": search.epochs})


def first_rung(search: Search, base: Recipe) -> int:
    """After how many epochs trials are judged first. `auto`: as late as leaves room for a second rung before the end; a
    verdict on less is mostly noise (benchmarks/search_curves.py)."""
    return math.ceil(base.epochs / search.reduction**2) if search.min_epochs == "auto" else search.min_epochs


def about(search: Search, base: Recipe, metric: str, version: str) -> dict[str, Any]:
    """What a study is of, as JSON: enough to read its trials without the params.yaml that it came from."""
    space = {name: vary.model_dump() for name, vary in search.space.items()}
    policy = search.model_dump(exclude=ELSEWHERE) | {"min_epochs": first_rung(search, base)}
    if not search.earlier:
        del policy["from"]  # as a study of an older Assay says it
    said = {"metric": metric, "data_version": version, "policy": policy, "recipe": flat(base), "space": space}
    said |= {"costs": search.costs} if search.costs else {}
    whole: dict[str, Any] = json.loads(json.dumps(said, default=str))
    return whole


def introduce(study: optuna.Study, said: dict[str, Any]) -> tuple[str, bool]:
    """Let a study say what it is of, for those who find it without its params.yaml.

    Returns:
        What tells it from a study that is made anew under its name: by it the runs in MLflow know whose they are. And
        whether it had said so before: then the search's run may be there too, although no trial is.
    """
    known = study.user_attrs
    if ID not in known:
        study.set_user_attr(ID, known.setdefault(ID, uuid.uuid4().hex[:12]))
    if ABOUT not in known:
        study.set_user_attr(ABOUT, said)
    return known[ID], ABOUT in known


def study_name(search: Search, base: Recipe, metric: str, version: str) -> str:
    """A hash of all that a search's outcome hangs on but its budget and its workers."""
    said = json.dumps([FORMAT, about(search, base, metric, version)])
    return blake2b(said.encode(), digest_size=6).hexdigest()
