"""What a study is of, in words that outlive its params.yaml, and its name, which is their hash. Owns which settings
make another search of it, and which continue the same.
"""

import json
from hashlib import blake2b
from typing import Any

from assay.params import Recipe, Search, flat

FORMAT = 4  # of what we keep in a study; another format is another study
# Settings of a search that are no part of its policy, or are told beside it.
ELSEWHERE = {
    *("trials", "budget", "epochs", "workers", "resources", "trial_timeout", "metric", "pick", "storage", "space"),
    *("finals", "prefer_base", "storage_path"),
}


def searched_base(search: Search, recipe: Recipe) -> Recipe:
    """The base recipe as it is searched: trained as long as a trial is."""
    return recipe if search.epochs is None else recipe.model_copy(update={"epochs": search.epochs})


def about(search: Search, base: Recipe, metric: str, version: str) -> dict[str, Any]:
    """What a study is of, as JSON: enough to read its trials without the params.yaml that it came from."""
    space = {name: vary.model_dump() for name, vary in search.space.items()}
    policy = search.model_dump(exclude=ELSEWHERE)
    if not search.earlier:
        del policy["from"]  # as a study of an older Assay says it
    said = {"metric": metric, "data_version": version, "policy": policy, "recipe": flat(base), "space": space}
    said |= {"costs": search.costs} if search.costs else {}
    whole: dict[str, Any] = json.loads(json.dumps(said, default=str))
    return whole


def study_name(search: Search, base: Recipe, metric: str, version: str) -> str:
    """A hash of all that a search's outcome hangs on but its budget and its workers."""
    said = json.dumps([FORMAT, about(search, base, metric, version)])
    return blake2b(said.encode(), digest_size=6).hexdigest()
