"""What a person can mend. Owns the wording of errors in settings and data; never raised for our own bugs.

Exception
└── InputError            one or more sentences, exit code 2, no stack trace
"""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass


class InputError(Exception):
    """Something a person can mend. Shown as one line a problem, exit code 2, no stack trace."""

    def __init__(self, *sentences: str) -> None:
        assert sentences, "an InputError says something"
        super().__init__("\n".join(sentences))
        self.sentences = sentences


@dataclass(frozen=True)
class Position:
    """Where a value stands: a file, and its line where there is one (a default has none)."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


def nearest(name: str, known: Collection[str], limit: int = 8) -> str:
    """The remedy for an unknown name: the nearest known one, else the known ones (at most `limit`)."""
    near = difflib.get_close_matches(name, sorted(known), n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    listed = sorted(known)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return f"known are {', '.join(listed[:limit])}{more}."


def gather(errors: Sequence[InputError]) -> None:
    """Raise all of `errors` as one, so that a person mends them in one go; nothing where there are none.

    Raises:
        InputError: every sentence of `errors`, each once, in order.
    """
    sentences = dict.fromkeys(sentence for error in errors for sentence in error.sentences)
    if sentences:
        raise InputError(*sentences)
