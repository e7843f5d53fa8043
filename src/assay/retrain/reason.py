"""Whether there is reason to retrain. Owns what counts as one; changes nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assay.data.dataset import read_split
from assay.data.splits import KEY_BYTES
from assay.registry.versions import Seen
from assay.terminal import numbered
from assay.usage import Retrain

DAY_S = 24 * 3600


@dataclass(frozen=True)
class Change:
    """What to learn from now, beside what the last retraining had: samples of train and validation.

    Attributes:
        before, now: samples then and now.
        new, gone: by content.
    """

    before: int
    now: int
    new: int
    gone: int

    @property
    def said(self) -> str:
        """In a clause."""
        gone = f" and {self.gone:,} that are gone" if self.gone else ""
        return f"{numbered(self.new, 'new sample')} to learn from{gone}, beside {self.before:,} before"


def change(prepared: Path, seen: Seen) -> Change:
    """What is prepared beside what a model has seen."""
    now = {key.tobytes() for name in ("train", "validation") for key in read_split(prepared, name).keys}
    before = {key.tobytes() for keys in (seen.train, seen.validation) for key in np.asarray(keys, dtype=np.uint8)}
    assert all(len(key) == KEY_BYTES for key in before), "keys of another kind"
    return Change(len(before), len(now), len(now - before), len(before - now))


def reason(how: Retrain, changed: Change, age_s: float, *, other_recipe: bool, drift: str | None, force: bool) -> str:
    """Why to retrain, in a sentence; empty where there is no reason.

    Args:
        age_s: since the last retraining.
        other_recipe: whether a person has changed recipe, search or augmentation since then.
        drift: what was found, where that is an alarm.
    """
    if force:
        return f"somebody asked for it (--force); {changed.said}."
    if other_recipe:
        return f"augmentation, recipe or search is another one in params.yaml; {changed.said}."
    if changed.new >= how.new_samples * changed.before:
        return f"there are {changed.said}."
    if drift is not None:
        return f"the data have drifted: {drift}"
    if how.max_age_days is not None and age_s >= how.max_age_days * DAY_S:
        return f"the last retraining was {age_s / DAY_S:.0f} days ago; {changed.said}."
    return ""
