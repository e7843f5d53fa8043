"""What is worth a trial: a recipe that keeps the constraints, has not failed, and is smaller than one that ran out of
memory. Owns what failures say of recipes that were not tried; a failure that is not known yet says nothing.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from assay.params import flat
from assay.search.space import Drawn, Space
from assay.search.trial import FAILED, Tried

# As torch (on GPUs and on CPUs), numpy, Python and Ray say it.
NO_MEMORY = re.compile(r"out of ?memory|allocate memory|unable to allocate|MemoryError|low on memory", re.IGNORECASE)
Size = tuple[Any, bool]  # the backbone, and whether its input has a size of its own


class Feasible:
    """By what is `known` of earlier trials. A backbone that ran out of memory gets no batch again that is as large or
    larger, in samples × side of the input."""

    def __init__(self, space: Space, known: Sequence[Tried]) -> None:
        self._space, self._known = space, known
        self._new: dict[tuple[Any, ...], bool] = {}
        failed = [each for each in known if each.state == FAILED]
        self._failed = [each.drawn for each in failed]
        self._least: dict[Size, float] = {}  # what was too large
        for each in failed:
            if NO_MEMORY.search(each.reason or ""):
                kind, size = _size(flat(space.base) | space.values_of(each.number, each.drawn))
                self._least[kind] = min(size, self._least.get(kind, size))

    def keeps(self, drawn: Drawn) -> bool:
        """Whether a value of every parameter is worth a trial."""
        return self._fits(drawn) and self._space.keeps(drawn) and not self._among(drawn, self._failed)

    def is_new(self, drawn: Drawn) -> bool:
        """Whether it is, and was not tried."""
        key = tuple(drawn.values())
        if key not in self._new:  # a small space is soon used up, and asked for the same again and again
            self._new[key] = self.keeps(drawn) and not self._among(drawn, (each.drawn for each in self._known))
        return self._new[key]

    def _among(self, drawn: Drawn, others: Iterable[Drawn]) -> bool:
        return any(self._space.same(drawn, other) for other in others)

    def _fits(self, drawn: Drawn) -> bool:
        if not self._least:
            return True
        kind, size = _size(flat(self._space.base) | self._space.active(drawn))
        return kind not in self._least or size < self._least[kind]


def _size(values: dict[str, Any]) -> tuple[Size, float]:
    side = values["input_size"]
    return (values["backbone"], side is not None), float(values["batch_size"] * (side or 1))
