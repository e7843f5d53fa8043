"""What a person can mend. Owns the wording of errors in settings, data and files; never raised for our own bugs.

Exception
└── InputError            one or more sentences, exit code 2, no stack trace
"""

import difflib
import errno
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
REMEDIES = {  # what would be right where a path cannot be used
    errno.ENAMETOOLONG: "give it a shorter name.",
    errno.EEXIST: "a file stands where a folder must be: move it away.",
    errno.ENOTDIR: "a file stands where a folder must be: move it away.",
    errno.EISDIR: "a folder stands where a file must be: move it away.",
    errno.ENOENT: "bring it back, or run the stage that writes it again.",
}
TELLING = 3  # letters from which on it says something that a known name has them too
LONGEST = 120  # characters of a path that a sentence shows


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
    """The remedy for an unknown name: the nearest known one, whatever the case of its letters, else the known ones (at
    most `limit`), or of a whole family that has the name in theirs, some of these."""
    folded, listed = name.casefold(), sorted(known)
    alike: dict[str, list[str]] = {}
    for each in listed:
        alike.setdefault(each.casefold(), []).append(each)
    family = sorted(
        (each for each in listed if len(folded) >= TELLING and folded in each.casefold()),
        key=lambda each: (not each.casefold().startswith(folded), len(each), each),
    )
    if len(family) > limit and folded not in alike:
        return f"known with {folded!r} in the name are {_some(family, limit)}."
    if near := difflib.get_close_matches(folded, alike, n=1):
        (best,) = difflib.get_close_matches(name, alike[near[0]], n=1, cutoff=0)
        return f"did you mean {best!r}?"
    if family:
        return f"known with {folded!r} in the name are {_some(family, limit)}."
    return f"known are {_some(listed, limit)}."


def _some(names: Sequence[str], limit: int) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{', '.join(names[:limit])}{more}"


def gather(errors: Sequence[InputError]) -> None:
    """Raise all of `errors` as one, so that a person mends them in one go; nothing where there are none.

    Raises:
        InputError: every sentence of `errors`, each once, in order.
    """
    sentences = dict.fromkeys(sentence for error in errors for sentence in error.sentences)
    if sentences:
        raise InputError(*sentences)


def of_path(error: OSError, place: object = None) -> str:
    """The sentence about a path that the file system will not have: full, refused, too long, in the way, gone."""
    named = printable(str(error.filename if place is None else place))
    named = named if len(named) <= LONGEST else f"{named[: LONGEST - 1]}…"
    if error.errno in FULL:
        return f"{named}: the disk is full; free some space and run the same command again."
    why = error.strerror or type(error).__name__
    if error.errno in REFUSED:
        return f"{named}: cannot be written or read ({why}); it must be allowed to this user."
    return f"{named}: cannot be used ({why}); {REMEDIES.get(error.errno or 0, 'mend that and run the same again.')}"


def printable(name: str) -> str:
    """A name as every file and table can hold it; bytes of it that are no UTF-8 become `\\xff`."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    return name


def is_out_of_memory(error: BaseException) -> bool:
    """Python's and numpy's; torch's by its name, since torch is not imported for it; its CPU allocator has no class."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
