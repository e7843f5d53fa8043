"""Bytes of a request become samples to answer for. Owns the forms that a request may have; opens no file and no path.

application/json           {"samples": [one, …]} or the list alone: base64 of a file, or an array as nested lists
multipart/form-data        a file a sample
image/… or octet-stream    one sample, as it is
"""

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header

from assay.modality import Spec, Unreadable
from assay.predict import Asked, as_sample
from assay.serve.refusal import Refusal

RAW = "application/octet-stream"
SHOWN = 5  # of a request that is wrong throughout, so many samples are named
FORMS = "a request is JSON, a form of files (multipart/form-data), or one sample as it is"


def asked_of(kind: str, body: bytes, most: int, spec: Spec) -> list[Asked]:
    """The samples of a request whose content type is `kind`.

    Raises:
        Refusal: it is of no form that is known, damaged, empty, or has more than `most` samples.
    """
    media = kind.partition(";")[0].strip().lower()
    if not body:
        raise Refusal(400, f"the request is empty; {FORMS}.")
    if media == "application/json":
        found = _of_json(body, most, spec)
    elif media == "multipart/form-data":
        found = _of_form(kind, body, most)
    elif media == RAW or media.startswith(f"{spec.modality}/"):
        found = [Asked("sample 1", body)]
    else:
        named = f"the content type is {media[:80]!r}" if media else "the request has no content type"
        raise Refusal(415, f"{named}; {FORMS} ({spec.modality}/… or {RAW}).")
    if not found:
        raise Refusal(400, "the request holds no sample.")
    return found


def _of_json(body: bytes, most: int, spec: Spec) -> list[Asked]:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refusal(400, f"the request is no JSON ({why}).") from error
    listed = read.get("samples") if isinstance(read, dict) else read
    if not isinstance(listed, list):
        raise Refusal(400, 'the JSON is neither a list of samples nor {"samples": [one, …]}.')
    _refuse_more(len(listed), most)
    return [_of_item(f"sample {number}", one, spec) for number, one in enumerate(listed, start=1)]


def _of_item(name: str, given: Any, spec: Spec) -> Asked:
    if not isinstance(given, str):
        return Asked(name, as_sample(given, spec))
    try:
        return Asked(name, base64.b64decode(given, validate=True))
    except (binascii.Error, ValueError):  # ValueError: letters that are not ASCII
        return Asked(name, Unreadable("its text is not base64, and over HTTP no path is read"))


def _of_form(kind: str, body: bytes, most: int) -> list[Asked]:
    found: list[Asked] = []
    ended: list[bool] = []

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        name = (file.file_name or b"").decode(errors="replace") or f"sample {len(found) + 1}"
        found.append(Asked(name, file.file_object.read()))
        file.close()
        _refuse_more(len(found), most)

    def on_field(field: Field) -> None:
        name = (field.field_name or b"").decode(errors="replace")
        raise Refusal(400, f"the form's part {name!r} is no file; each part is one, with a filename.")

    boundary = parse_options_header(kind)[1].get(b"boundary")
    config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}  # nothing of a client comes to the disk
    try:
        parser = FormParser(
            "multipart/form-data", on_field, on_file, lambda: ended.append(True), boundary, None, config
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(400, f"the form cannot be read ({str(error).rstrip('.')}).") from error
    if not ended:
        raise Refusal(400, "the form is cut short; its last boundary is missing.")
    return found


def _refuse_more(count: int, most: int) -> None:
    if count > most:
        raise Refusal(413, f"the request has more than {most} samples; serve.max_samples allows no more.")


def wrong(asked: Sequence[Asked], read: Sequence[object]) -> str | None:
    """The sentence about those that could not be read; None where all could."""
    said = [f"{one.name}: cannot be read: {why}" for one, why in zip(asked, read, strict=True) if _is_bad(why)]
    more = f" {len(said) - SHOWN} more cannot be read either." if len(said) > SHOWN else ""
    return f"{'; '.join(said[:SHOWN])}.{more}" if said else None


def _is_bad(read: object) -> bool:
    return isinstance(read, Unreadable)
