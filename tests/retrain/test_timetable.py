"""`assay schedule` is a real process that runs others at set times, says what came of them, and ends when it is told
to, with nothing left behind.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from assay.retrain.notice import Notify, notify
from receivers import receiver
from waits import gone, until

ASSAY = "import sys; from assay.cli import main; sys.argv[0] = 'assay'; main()"
KEEP = """
import sys
from pathlib import Path
from apscheduler.triggers.interval import IntervalTrigger
from assay.crontab import Times
from assay.retrain.notice import Notify
from assay.retrain.timetable import keep
when, child, *to = sys.argv[1:]
trigger = Times(when) if " " in when else IntervalTrigger(seconds=int(when))
keep(trigger, Notify(*to or [None]), [sys.executable, "-c", child], Path("stamp"), Path("notices"), 0.2)
"""
DAY_S = 24 * 3600
WORKS = "import time, pathlib; pathlib.Path('at-work').touch()\nwhile True: time.sleep(0.05)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{WORKS}"


class Kept:
    """A process that keeps a schedule, and what it said."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.log = folder / "log"
        with self.log.open("wb") as file:
            self.process = subprocess.Popen([sys.executable, "-c", *command], cwd=folder, stdout=file, stderr=file)

    @property
    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def until(self, words: str, times: int = 1) -> None:
        until(lambda: self.said.count(words) >= times, f"{words!r} in {self.log}", self.process)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture(name="kept")
def all_kept() -> Iterator[list[Kept]]:
    """Those that the test began; none outlives it, nor what it runs."""
    began: list[Kept] = []
    yield began
    for each in began:
        if each.process.poll() is None:
            ran = each.children()
            each.process.kill()
            each.process.wait()
            for child in ran:
                with suppress(psutil.NoSuchProcess):
                    child.kill()


def keeping(kept: list[Kept], folder: Path, every: int | str, child: str, *to: str) -> Kept:
    kept.append(Kept(folder, KEEP, str(every), child, *to))
    return kept[-1]


@pytest.mark.parametrize(
    "code, words",
    [
        (0, "ended with code 0: the challenger was promoted."),
        (1, "ended with code 1: it failed, and the champion stays."),
        (2, "ended with code 2: settings or data are not right, and nothing was done."),
        (10, "ended with code 10: the champion stays."),
        (11, "ended with code 11: there was nothing new."),
        (12, "ended with code 12: another retraining is at work."),
        (99, "ended with code 99."),
    ],
)
def test_what_came_of_a_retraining_is_said_in_words(code: int, words: str, folder: Path, kept: list[Kept]) -> None:
    one = keeping(kept, folder, 1, f"raise SystemExit({code})")
    one.until(f"schedule: the retraining {words}")
    one.until("schedule: the next retraining is due ", 2)


def test_it_runs_again_and_again(folder: Path, kept: list[Kept]) -> None:
    keeping(kept, folder, 1, "raise SystemExit(11)").until("there was nothing new", 3)


def test_a_time_that_comes_while_a_retraining_runs_is_left_out(folder: Path, kept: list[Kept]) -> None:
    one = keeping(kept, folder, 1, WORKS)
    one.until("the last retraining still runs; this one is left out.", 2)
    assert one.said.count("a retraining begins.") == 1
    assert len(one.children()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_the_retraining_that_runs(number: signal.Signals, folder: Path, kept: list[Kept]) -> None:
    one = keeping(kept, folder, 1, WORKS)
    until(lambda: (folder / "at-work").exists(), "the retraining", one.process)
    children = one.children()
    one.process.send_signal(number)
    assert one.process.wait() == 0
    gone(children)
    assert one.said.endswith(f"was ended by SIGTERM.\nschedule: ended by {number.name}.\n")
    assert "Traceback" not in one.said


def test_a_second_signal_kills_a_retraining_that_does_not_end(folder: Path, kept: list[Kept]) -> None:
    one = keeping(kept, folder, 1, DEAF)
    until(lambda: (folder / "at-work").exists(), "the retraining", one.process)
    children = one.children()
    one.process.terminate()
    one.until("SIGTERM to the retraining that runs; it is waited for.")
    assert all(child.is_running() for child in children)
    one.process.terminate()
    assert one.process.wait() == 0
    gone(children)
    assert "was ended by SIGKILL." in one.said


def test_what_was_due_while_nobody_kept_the_schedule_is_made_up_for_once(folder: Path, kept: list[Kept]) -> None:
    (folder / "stamp").touch()
    os.utime(folder / "stamp", (time.time() - 3.5 * DAY_S,) * 2)
    one = keeping(kept, folder, "0 3 * * *", "raise SystemExit(10)")
    one.until("and is made up for now.")
    one.until("the champion stays.")
    one.until("the next retraining is due ")
    assert one.said.count("a retraining begins.") == 1
    assert time.time() - (folder / "stamp").stat().st_mtime < DAY_S


def test_notices_that_nobody_took_arrive_between_two_retrainings(folder: Path, kept: list[Kept]) -> None:
    with receiver(503, 503, 503, 503) as server:
        notify(Notify(server.address), {"id": "a", "kind": "kept"}, folder / "notices")
        one = keeping(kept, folder, "0 3 29 2 *", WORKS, server.address)
        one.until("retrain.notify: 1 earlier notice arrived now.")
    assert server.ids == ["a"] * 5
    assert one.said.count("answers 503; 1 notice will be sent again") == 1


class TestTheVerb:
    def project(self, folder: Path, retrain: str) -> None:
        data = "data: {source: folder, path: gone}"  # whatever a retraining would do, it ends at once
        (folder / "params.yaml").write_text(f"{data}\nsearch: {{trials: 0}}\nretrain: {retrain}\n", encoding="utf-8")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_says_when_the_next_is_due_and_ends_quietly(
        self, number: signal.Signals, folder: Path, kept: list[Kept]
    ) -> None:
        self.project(folder, "{schedule: 0 3 29 2 *}")
        kept.append(Kept(folder, ASSAY, "schedule"))
        kept[-1].until("schedule: the next retraining is due Tuesday 2028-02-29 03:00 ")
        kept[-1].process.send_signal(number)
        assert kept[-1].process.wait() == 0
        assert kept[-1].said.endswith(f"\nschedule: ended by {number.name}.\n")

    def test_runs_assay_retrain_which_says_what_is_wrong(self, folder: Path, kept: list[Kept]) -> None:
        """A stamp of yesterday: so the minute that comes next is not waited for. Its data are gone."""
        self.project(folder, "{schedule: '* * * * *'}")
        (folder / ".assay").mkdir()
        (folder / ".assay" / "schedule").touch()
        os.utime(folder / ".assay" / "schedule", (time.time() - DAY_S,) * 2)
        kept.append(Kept(folder, ASSAY, "schedule"))
        kept[-1].until("schedule: the retraining ended with code 2: settings or data are not right")
        kept[-1].until("schedule: the next retraining is due ")

    def test_without_a_schedule_says_what_is_missing(self, folder: Path) -> None:
        self.project(folder, "{schedule: null}")
        ended = subprocess.run([sys.executable, "-c", ASSAY, "schedule"], capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert ended.stderr == (
            "params.yaml:3: retrain.schedule is null; `assay schedule` needs a crontab line, such as '0 3 * * 1', "
            "Mondays at 3:00.\n"
        )
        assert not (folder / ".assay").exists()
