"""Notices arrive at least once, oldest first, signed, at servers and commands that are real; none that is away
or says no stops a retraining.
"""

import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import time_machine

from assay.retrain.notice import GIVEN_UP, SECRET, Notify, notify, resend
from databases import free_port
from receivers import CLOSES, HANGS, receiver
from waits import until

WAITS = "will be sent again, at the next retraining at the latest."


def event(name: str, kind: str = "kept") -> dict[str, Any]:
    return {"id": name, "model": "assay", "kind": kind, "at": 1.5, "sentence": "Größe ≥ 3", "version": 2, "missed": 0}


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "notices"


def waiting(spool: Path) -> list[str]:
    return sorted(path.stem for path in spool.glob("*.json"))


class TestAnAddress:
    def test_gets_the_event_as_json_with_its_kind_and_id(self, spool: Path) -> None:
        with receiver() as server:
            assert notify(Notify(server.address), event("a", "nothing new"), spool) == []
        ((got, _body, headers),) = server.got
        assert got == event("a", "nothing new")
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Assay-Event"] == "nothing new"
        assert headers["Idempotency-Key"] == "a"
        assert headers["X-Assay-Signature"] is None
        assert waiting(spool) == []

    def test_knows_by_the_signature_that_the_bytes_are_ours(self, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(SECRET, "schlüssel")
        with receiver() as server:
            notify(Notify.of(server.address), event("a"), spool)
        ((_, body, headers),) = server.got
        right = hmac.new("schlüssel".encode(), body, hashlib.sha256).hexdigest()
        assert headers["X-Assay-Signature"] == f"sha256={right}"

    @pytest.mark.parametrize("status", [500, 503, 429, 408])
    def test_that_cannot_take_it_now_is_told_again_oldest_first(self, status: int, spool: Path) -> None:
        with receiver(status, status, status) as server:
            (said,) = notify(Notify(server.address), event("b"), spool)
            assert said == f"retrain.notify: {host(server.address)} answers {status}; 1 notice {WAITS}"
            (said,) = notify(Notify(server.address), event("a"), spool)
            assert said.endswith(f"; 2 notices {WAITS}")
            assert waiting(spool) == ["a", "b"]
            assert notify(Notify(server.address), event("c"), spool) == [
                "retrain.notify: 2 earlier notices arrived now."
            ]
        assert server.ids == ["b", "b", "a", "b", "a", "c"]
        assert waiting(spool) == []

    def test_that_is_away_is_asked_once_a_call_and_has_all_when_it_is_back(self, spool: Path) -> None:
        port = free_port()
        for name in ("a", "b"):
            said = notify(Notify(f"http://127.0.0.1:{port}/"), event(name), spool)
        (said_last,) = said
        assert said_last == f"retrain.notify: 127.0.0.1:{port} does not answer (Connection refused); 2 notices {WAITS}"
        with receiver(port=port) as server:
            notify(Notify(server.address), event("c"), spool)
        assert server.ids == ["a", "b", "c"]

    @pytest.mark.parametrize("answer", [HANGS, CLOSES])
    def test_that_hangs_or_closes_costs_a_moment_and_no_notice(self, answer: int, spool: Path) -> None:
        with receiver(answer) as server:
            (said,) = notify(Notify(server.address, timeout_s=0.3), event("a"), spool)
            assert "does not answer (" in said
            assert said.endswith(f"1 notice {WAITS}")
            assert notify(Notify(server.address), event("b"), spool) == [
                "retrain.notify: 1 earlier notice arrived now."
            ]
        assert server.ids == ["a", "a", "b"], "at least once: the id says which came twice"

    def test_that_says_no_is_not_asked_again(self, spool: Path) -> None:
        with receiver(401) as server:
            (said,) = notify(Notify(server.address), event("a"), spool)
            assert said.startswith(f"retrain.notify: {host(server.address)} answers 401; the notice a is given up")
            assert notify(Notify(server.address), event("b"), spool) == []
        assert server.ids == ["a", "b"]
        kept = json.loads((spool / GIVEN_UP / "a.json").read_text())
        assert kept["event"] == event("a")

    def test_that_sends_elsewhere_is_not_followed(self, spool: Path) -> None:
        with receiver() as other, receiver(307) as server:
            server.moved_to = other.address
            (said,) = notify(Notify(server.address, "secret"), event("a"), spool)
        assert "answers 307" in said
        assert other.got == []
        assert waiting(spool) == ["a"]

    def test_is_named_by_its_host_since_the_rest_may_be_a_secret(self, spool: Path) -> None:
        with receiver(500) as server:
            said = notify(Notify(server.address), event("a"), spool)
        assert "hidden" not in " ".join(said)

    def test_that_does_not_exist_is_away(self, spool: Path) -> None:
        (said,) = notify(Notify("https://nowhere.invalid/hook"), event("a"), spool)
        assert said.startswith("retrain.notify: nowhere.invalid does not answer (")


def host(address: str) -> str:
    return address.split("/")[2]


def test_a_notice_that_nobody_took_for_seven_days_is_given_up(spool: Path) -> None:
    with time_machine.travel("2026-11-16 03:00", tick=False) as clock, receiver(503, 503, 503, 503) as server:
        notify(Notify(server.address), event("old"), spool)
        clock.shift(6 * 24 * 3600)
        notify(Notify(server.address), event("young"), spool)
        assert waiting(spool) == ["old", "young"]
        clock.shift(24 * 3600 + 60)
        given_up, arrived = notify(Notify(server.address), event("new"), spool)
        about = f"retrain.notify: {host(server.address)} answers 503 and has not taken it for 7 days;"
        assert given_up == f"{about} the notice old is given up and lies in {spool / GIVEN_UP}."
        assert arrived == "retrain.notify: 1 earlier notice arrived now."
    assert waiting(spool) == []
    assert (spool / GIVEN_UP / "old.json").exists()


class TestACommand:
    def test_reads_the_event_from_its_input(self, spool: Path, folder: Path) -> None:
        assert notify(Notify("cat > got.json"), event("a"), spool) == []
        assert json.loads((folder / "got.json").read_text()) == event("a")
        assert waiting(spool) == []

    def test_that_fails_is_told_again_and_its_last_words_are_said(self, spool: Path, folder: Path) -> None:
        failing = "cat >> got; echo no such list >&2; test -e mended"
        (said,) = notify(Notify(failing), event("a"), spool)
        assert said == (
            f"retrain.notify: the command of retrain.notify ended with code 1 (no such list); 1 notice {WAITS}"
        )
        (folder / "mended").touch()
        assert notify(Notify(failing), event("b"), spool) == ["retrain.notify: 1 earlier notice arrived now."]
        ids = [json.loads(line)["id"] for line in (folder / "got").read_text().splitlines()]
        assert ids == ["a", "a", "b"]

    def test_that_is_none_says_so(self, spool: Path) -> None:
        (said,) = notify(Notify("no-such-program-here --all"), event("a"), spool)
        assert "ended with code 127 (" in said
        assert "not found" in said

    def test_that_reads_nothing_is_no_failure(self, spool: Path) -> None:
        assert notify(Notify("true"), event("a") | {"sentence": "x" * 200_000}, spool) == []

    def test_that_does_not_end_is_ended_with_all_that_it_began(self, spool: Path, folder: Path) -> None:
        command = "sleep 1000 & echo $! > child; sleep 1000"
        (said,) = notify(Notify(command, timeout_s=0.5), event("a"), spool)
        assert "did not end within 0.5 s" in said
        child = int((folder / "child").read_text())
        until(lambda: not _runs(child), "the end of what the command began")


def _runs(number: int) -> bool:
    try:
        return "sleep" in Path(f"/proc/{number}/cmdline").read_text()
    except OSError:
        return False


def test_what_waits_can_be_sent_without_another_event(spool: Path) -> None:
    with receiver(503) as server:
        assert resend(Notify(server.address), spool) == []
        notify(Notify(server.address), event("a"), spool)
        assert resend(Notify(server.address), spool) == ["retrain.notify: 1 earlier notice arrived now."]
        assert resend(Notify(server.address), spool) == []
    assert server.ids == ["a", "a"]


def test_nobody_is_told_where_nobody_is_named(spool: Path) -> None:
    assert notify(Notify(None), event("a"), spool) == []
    assert not spool.exists()


def test_two_processes_at_once_send_each_notice_once(spool: Path) -> None:
    names = [f"old{number}" for number in range(6)]
    program = (
        "import json, sys; from pathlib import Path; from assay.retrain.notice import Notify, notify\n"
        "print(*notify(Notify(sys.argv[1]), {'id': sys.argv[2], 'kind': 'kept'}, Path(sys.argv[3])))"
    )
    for name in names:
        notify(Notify("false"), event(name), spool)
    with receiver() as server:
        both = [
            subprocess.Popen([sys.executable, "-c", program, server.address, name, str(spool)], env=os.environ)
            for name in ("one", "two")
        ]
        assert [process.wait() for process in both] == [0, 0]
    assert sorted(server.ids) == sorted([*names, "one", "two"])
    assert server.ids[:6] == names
    assert waiting(spool) == []


def test_a_killed_sender_loses_no_notice(spool: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from assay.retrain.notice import Notify, notify\n"
        "notify(Notify(sys.argv[1], timeout_s=1000), {'id': 'a', 'kind': 'promoted'}, Path(sys.argv[2]))"
    )
    with receiver(HANGS) as server:
        process = subprocess.Popen([sys.executable, "-c", program, server.address, str(spool)])
        until(lambda: server.got, "the notice on its way", process)
        process.kill()
        process.wait()
        assert waiting(spool) == ["a"]
        notify(Notify(server.address), event("b"), spool)
    assert server.ids == ["a", "a", "b"]


def test_a_notice_that_cannot_be_kept_is_sent_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with receiver(200, 500) as server:
        said = notify(Notify(server.address), event("a"), tmp_path / "file")
        assert said[-1] == "retrain.notify: this notice cannot be kept, and it was sent at once."
        said = notify(Notify(server.address), event("b"), tmp_path / "file")
        lost = f"it is lost, since {host(server.address)} answers 500."
        assert said[-1] == f"retrain.notify: this notice cannot be kept, and {lost}"
    assert server.ids == ["a", "b"]


def test_what_is_no_notice_is_moved_aside_and_said(spool: Path) -> None:
    spool.mkdir()
    (spool / "cut.json").write_text('{"since": 3, "eve')
    with receiver() as server:
        said = notify(Notify(server.address), event("a"), spool)
    assert said == [f"retrain.notify: cut.json is no notice; it lies in {spool / GIVEN_UP} now."]
    assert server.ids == ["a"]


def test_an_event_that_waits_already_keeps_its_age(spool: Path) -> None:
    notify(Notify("false"), event("a"), spool)
    since = json.loads((spool / "a.json").read_text())["since"]
    assert since <= time.time()
    notify(Notify("false"), event("a"), spool)
    assert json.loads((spool / "a.json").read_text())["since"] == since
