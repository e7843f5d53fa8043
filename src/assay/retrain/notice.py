"""Who hears of a retraining: a web address or a command. Owns what is sent and what waits to be sent; a receiver that
is away costs a retraining a few seconds and nothing else.

A notice is a file before it is sent, and goes when it was taken: so each arrives at least once, oldest first, whatever
stops a process, and a receiver tells one that came twice by its id.
"""

import fcntl
import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from assay.errors import InputError, of_path
from assay.terminal import numbered
from assay.whole import write_whole

SECRET = "ASSAY_NOTIFY_SECRET"
NOTICES = Path(".assay/notices")
TIMEOUT_S = 10.0  # for an answer, and for a command's end
ALL_S = 60.0  # after which no other notice is begun
DAY_S = 24 * 3600.0
KEPT_S = 7 * DAY_S  # a notice that nobody took for so long is news no more
GIVEN_UP = "given-up"  # the folder of those that are not sent any more
LOCK = ".lock"
LATER = frozenset({408, 425, 429})  # answers that mean: not now
ID = re.compile(r"[\w-][\w.-]{0,99}", re.ASCII)  # it is a file's name too


@dataclass(frozen=True)
class Notify:
    """Whom to tell.

    Attributes:
        to: a web address, a command for the shell, or nobody.
        secret: what an address is shown that the notice is ours by.
        timeout_s: for an answer, and for a command's end.
    """

    to: str | None
    secret: str | None = None
    timeout_s: float = TIMEOUT_S

    @classmethod
    def of(cls, setting: str | None) -> Self:
        """As `retrain.notify` and the environment say."""
        return cls(setting, os.environ.get(SECRET) or None)

    @property
    def name(self) -> str:
        """As a sentence calls it: of an address the host, since what follows may be a secret."""
        assert self.to is not None, "somebody is told"
        return str(urlsplit(self.to).netloc) if self._is_address else "the command of retrain.notify"

    @property
    def _is_address(self) -> bool:
        return self.to is not None and self.to.lower().startswith(("http://", "https://"))

    def send(self, event: Mapping[str, Any]) -> "Answer":
        """Send one notice, once."""
        body = json.dumps(event, sort_keys=True).encode()
        return self._posted(event, body) if self._is_address else self._run(body)

    def _posted(self, event: Mapping[str, Any], body: bytes) -> "Answer":
        headers = {"Content-Type": "application/json", "User-Agent": "assay", "Idempotency-Key": str(event["id"])}
        headers["X-Assay-Event"] = str(event.get("kind", ""))
        if self.secret is not None:
            headers["X-Assay-Signature"] = f"sha256={signature(self.secret, body)}"
        try:
            asked = urllib.request.Request(str(self.to), body, headers, method="POST")
            with OPENER.open(asked, timeout=self.timeout_s):
                return Answer("taken")
        except urllib.error.HTTPError as error:
            error.close()
            refused = 400 <= error.code < 500 and error.code not in LATER  # one that has moved may be set anew
            return Answer("refused" if refused else "not now", f"answers {error.code}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = getattr(error, "reason", error)
            words = str(getattr(why, "strerror", None) or why) or type(why).__name__
            return Answer("away", f"does not answer ({words.strip().rstrip('.')})")

    def _run(self, body: bytes) -> "Answer":
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as words:
            told.write(body + b"\n")
            told.seek(0)
            process = subprocess.Popen(
                str(self.to), shell=True, stdin=told, stdout=words, stderr=words, start_new_session=True
            )
            try:
                code = process.wait(self.timeout_s)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)  # the shell is not yet buried, so the group is its own
                process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                return Answer("away", f"did not end within {self.timeout_s:g} s")
            words.seek(0)
            last = (words.read()[-500:].decode(errors="replace").strip().splitlines() or [""])[-1]
        said = f"ended with code {code}{f' ({last})' if last else ''}"
        return Answer("not now", said) if code else Answer("taken")


@dataclass(frozen=True)
class Answer:
    """What came of sending a notice.

    Attributes:
        kind: `refused` will be so for ever; where it is `away`, another notice would only wait as long.
        why: what a sentence says that begins with the receiver.
    """

    kind: Literal["taken", "refused", "not now", "away"]
    why: str = ""


class _Unmoved(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: signature and notice are for one host, and a POST would become a GET on the way."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


OPENER = urllib.request.build_opener(_Unmoved)


def signature(secret: str, body: bytes) -> str:
    """HMAC-SHA256 (RFC 2104) of the very bytes that are sent, in hexadecimal, as GitHub signs its webhooks.

    >>> signature("It's a Secret to Everybody", b"Hello, World!")
    '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'
    """
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def notify(asked: Notify, event: Mapping[str, Any], folder: Path) -> list[str]:
    """Tell of `event`, and of those before it that nobody took; sentences for the person, none where all went well.

    Args:
        event: what JSON can hold; its `id` is no other event's, and is a file's name.
        folder: where notices wait.
    """
    if asked.to is None:
        return []
    assert ID.fullmatch(str(event["id"])), f"{event['id']!r} is no name of a file"
    try:
        _spool(event, folder)
    except InputError as error:  # no room to keep it, so this is its one chance
        answer = asked.send(event)
        end = "it was sent at once" if answer.kind == "taken" else f"it is lost, since {asked.name} {answer.why}"
        return [*error.sentences, f"retrain.notify: this notice cannot be kept, and {end}."]
    return _sent_alone(asked, folder, new=1)


def resend(asked: Notify, folder: Path) -> list[str]:
    """Send what waits, where anything does; sentences as of `notify`."""
    if asked.to is None or not any(folder.glob("*.json")):
        return []
    return _sent_alone(asked, folder, new=0)


def _spool(event: Mapping[str, Any], folder: Path) -> None:
    path = folder / f"{event['id']}.json"
    if not path.exists():  # one that waits already keeps its place and its age
        write_whole(json.dumps({"since": time.time(), "event": dict(event)}, sort_keys=True).encode(), path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process sends at a time; another waits, and finds only what is left."""
    with (folder / LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sent_alone(asked: Notify, folder: Path, new: int) -> list[str]:
    try:
        with _alone(folder):
            return _sent(asked, folder, new)
    except OSError as error:
        return [f"retrain.notify: {of_path(error, error.filename or folder)}"]


def _sent(asked: Notify, folder: Path, new: int) -> list[str]:
    """Send what waits, the oldest first, `new` of it for the first time; what a person should know of it."""
    said: list[str] = []
    end, late, why, waiting = time.monotonic() + ALL_S, 0, "", _waiting(folder, said)
    for place, (since, event, path) in enumerate(waiting):
        if time.monotonic() > end:
            break
        answer = asked.send(event)
        if answer.kind == "taken":
            path.unlink()
            late += place < len(waiting) - new
        elif answer.kind == "refused" or time.time() - since > KEPT_S:
            _give_up(path)
            long = "" if answer.kind == "refused" else f" and has not taken it for {KEPT_S / DAY_S:.0f} days"
            about = f"retrain.notify: {asked.name} {answer.why}{long}"
            said.append(f"{about}; the notice {event['id']} is given up and lies in {folder / GIVEN_UP}.")
        else:
            why = f"{asked.name} {answer.why}; "
        if answer.kind == "away":
            break
    if late:
        said.append(f"retrain.notify: {numbered(late, 'earlier notice')} arrived now.")
    if left := sum(path.exists() for _, _, path in waiting):
        said.append(
            f"retrain.notify: {why}{numbered(left, 'notice')} will be sent again, at the next retraining at the latest."
        )
    return said


def _waiting(folder: Path, said: list[str]) -> list[tuple[float, Mapping[str, Any], Path]]:
    """Since when each waits, the oldest first; what is no notice is moved aside and `said`."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            kept = json.loads(path.read_bytes())
            since, event = float(kept["since"]), dict(kept["event"])
            event["id"]  # a notice has one
        except (OSError, ValueError, KeyError, TypeError):
            _give_up(path)
            said.append(f"retrain.notify: {path.name} is no notice; it lies in {folder / GIVEN_UP} now.")
            continue
        found.append((since, event, path))
    return sorted(found, key=lambda one: (one[0], one[2].name))


def _give_up(path: Path) -> None:
    aside = path.parent / GIVEN_UP
    aside.mkdir(exist_ok=True)
    with suppress(FileNotFoundError):
        path.replace(aside / path.name)
