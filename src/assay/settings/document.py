"""A YAML file with the line of every value, and what is wrong in it. Owns reading YAML 1.2; knows no setting's name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import BaseConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from assay.errors import InputError, Position

Where = tuple[str | int, ...]
NAMES = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "merge")}  # of a number it is said where it is read
KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "timestamp": "a date"}  # by YAML's tags
LONGEST = 60  # characters of a value that a sentence shows
DEEPEST = 50  # levels; settings have six
TOO_DEEP = f"is nested more than {DEEPEST} levels deep, which no setting is; mend its brackets or its indentation."


@dataclass(frozen=True)
class Problem:
    """One thing to mend: where it stands, the sentence without its position, and the other settings it rests on."""

    where: Where
    says: str
    about: tuple[Where, ...] = ()


@dataclass(frozen=True)
class Document:
    """What a file says, and where: `lines` maps a way through the tree to the line that names it."""

    file: str
    values: dict[Any, Any]
    lines: Mapping[tuple[str, ...], int]

    def has(self, where: Where) -> bool:
        """Whether this very value stands in the file."""
        return tuple(map(str, where)) in self.lines

    def at(self, where: Where) -> Position:
        """The position of a value, or of the nearest part around it that stands in the file."""
        names = tuple(map(str, where))
        for end in range(len(names), 0, -1):
            if names[:end] in self.lines:
                return Position(self.file, self.lines[names[:end]])
        return Position(self.file)


def read_document(path: str | Path, remedy: str) -> Document:
    """Read the YAML mapping in `path`; `remedy` says what to do where there is no such file.

    Raises:
        InputError: the file is missing, unreadable, no YAML, empty, no mapping, names a setting twice, or holds what
            is neither text nor a number.
    """
    file = str(path)
    text = _text(file, remedy)
    reader = YAML(typ="safe", pure=True)  # pure: the C reader gives no line numbers
    reader.allow_duplicate_keys = True  # found below, all of them, each with both lines
    try:
        root = reader.compose(text)
        if root is None:
            raise InputError(f"{file}: is empty; {remedy}")
        lines = _lines(file, root, reader.constructor)
        values = reader.load(text)
    except YAMLError as error:
        raise _broken(file, error) from error
    except RecursionError as error:
        raise InputError(f"{file}: {TOO_DEEP}") from error
    if not isinstance(values, dict):
        raise InputError(f"{file}:1: is not a mapping of settings; it must consist of lines like `name: value`.")
    return Document(file, values, lines)


def _text(file: str, remedy: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{file}: there is no such file; {remedy}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}).") from error


def _broken(file: str, error: YAMLError) -> InputError:
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return InputError(f"{file}: is not YAML ({' '.join(str(error).split())}).")
    position = Position(file, error.problem_mark.line + 1)
    if "'\\t'" in (error.problem or ""):
        return InputError(f"{position}: a tab stands where YAML wants blanks; indent with blanks.")
    context = f" {error.context}" if error.context else ""
    return InputError(f"{position}: is not YAML: {error.problem}{context}.")


def _lines(file: str, root: Node, constructor: BaseConstructor) -> dict[tuple[str, ...], int]:
    lines: dict[tuple[str, ...], int] = {}
    wrong = [
        f"{file}:{key.start_mark.line + 1}: what stands before this colon is no name; it must be text, in quotes if it "
        "reads as something else."
        for key in _keys(root, set())
        if not (isinstance(key, ScalarNode) and str(key.tag) in NAMES and _is_text(key.value))
    ]
    for names, line, node in _walk(root, (), ()):
        if line < 0:
            wrong.append(f"{file}:{-line}: an alias stands inside what it repeats; write the values out.")
        elif len(names) > DEEPEST:
            wrong.append(f"{file}:{line}: {TOO_DEEP}")
            break
        elif names in lines:
            name = ".".join(names)
            wrong.append(f"{file}:{line}: {name} is already set in line {lines[names]}; remove one of the two.")
        elif isinstance(node, ScalarNode) and (why := _unreadable(node, constructor)):
            wrong.append(f"{file}:{line}: {'.'.join(names)} {why}.")
        lines.setdefault(names, line)
    if wrong:
        raise InputError(*(sentence.encode(errors="backslashreplace").decode() for sentence in wrong))
    return lines


def _unreadable(node: ScalarNode, constructor: BaseConstructor) -> str | None:
    """Why nothing can be made of a value: text that no file can hold, a number or a date that is none."""
    if not _is_text(node.value):
        return "holds a NUL or half a character, which no file can; write it without"
    try:
        constructor.construct_document(node)
    except YAMLError:
        return None  # said with its line where all is read
    except (ValueError, KeyError, OverflowError):
        shown = node.value if len(node.value) <= LONGEST else f"{node.value[: LONGEST - 1]}…"
        kind = KINDS.get(str(node.tag).rpartition(":")[2], "what its tag says")
        return f"is {shown!r}, which cannot be read as {kind}; mend it, or put it in quotes where it is text"
    return None


def _is_text(value: str) -> bool:
    """Whether files, databases and the names of files can hold it: no NUL, no half of a surrogate pair."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)


def _walk(node: Node, names: tuple[str, ...], around: tuple[int, ...]) -> Iterator[tuple[tuple[str, ...], int, Node]]:
    """Every value below `node` with its line, negative where an alias goes in circles; it lies in nodes `around`."""
    if id(node) in around:
        yield names, -(node.start_mark.line + 1), node
        return
    inside = (*around, id(node))
    if isinstance(node, MappingNode):
        for key, value in node.value:
            here = (*names, str(key.value))
            yield here, key.start_mark.line + 1, value
            yield from _walk(value, here, inside)
    elif isinstance(node, SequenceNode):
        for number, value in enumerate(node.value):
            yield (*names, str(number)), value.start_mark.line + 1, value
            yield from _walk(value, (*names, str(number)), inside)


def _keys(node: Node, seen: set[int]) -> Iterator[Node]:
    """Every key below `node`, each once, whatever repeats it."""
    if id(node) in seen:
        return
    seen.add(id(node))
    pairs = node.value if isinstance(node, MappingNode) else []
    yield from (key for key, _ in pairs)
    inner = node.value if isinstance(node, SequenceNode) else [part for pair in pairs for part in pair]
    for part in inner:
        yield from _keys(part, seen)
