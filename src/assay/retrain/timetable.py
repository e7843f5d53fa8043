"""`assay schedule`: retraining at set times, by a process that stays. Owns the times and how it ends; a retraining is a
process of its own, so what one takes or breaks ends with it. Between them it sends the notices that nobody took.

A time that comes while a retraining runs is left out. Times that nobody kept, since the machine slept or this process
did not run, become one.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from assay.retrain import CODES
from assay.retrain.notice import NOTICES, Notify, resend
from assay.terminal import note, say

PROGRAM = "import sys; from assay.cli import main; sys.argv[0] = 'assay'; main()"
RETRAIN = (sys.executable, "-c", PROGRAM, "retrain")
STAMP = Path(".assay/schedule")  # its time is that of the last run, as systemd notes it for Persistent=true
LOOK_S = 20.0  # a clock that is set, or a machine that slept, is noticed so soon: waiting itself goes by another clock
AGAIN_S = 600.0  # between two tries to send notices that wait
SIGNALS = (signal.SIGINT, signal.SIGTERM)
RUN = "retrain"  # the job
ENDED = 0  # no signal has this number
STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
MEANS = {  # exit codes of `assay retrain`
    CODES["promoted"]: "the challenger was promoted",
    CODES["failed"]: "it failed, and the champion stays",
    2: "settings or data are not right, and nothing was done",
    CODES["kept"]: "the champion stays",
    CODES["nothing new"]: "there was nothing new",
    CODES["busy"]: "another retraining is at work",
    **dict.fromkeys(STOPPED, "it was stopped, and the next one goes on from there"),
}


def keep(
    trigger: Any,
    asked: Notify,
    command: Sequence[str] = RETRAIN,
    stamp: Path = STAMP,
    notices: Path = NOTICES,
    again_s: float = AGAIN_S,
) -> None:
    """Run `command` whenever `trigger` is due, until Ctrl-C or SIGTERM; the first time at once, where it was due since
    the last run. A run that is under way at the end is told to end and waited for; it is killed at a second signal.

    Args:
        trigger: of APScheduler.
        asked: who gets the notices that wait.
        stamp: a file that keeps the time of the last run.
        notices: the folder where they wait.
        again_s: seconds between two tries to send them.
    """
    events: SimpleQueue[int] = SimpleQueue()  # the one queue that a signal may write to at any moment
    run, first = _Run(command, events, stamp), trigger.get_next_fire_time(None, _since(stamp))
    scheduler = BackgroundScheduler(timezone=UTC)  # a signal would interrupt the blocking one inside its locks
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # what it warns of is said below
    left_out = "schedule: it is due, and the last retraining still runs; this one is left out."
    scheduler.add_listener(lambda event: say(left_out) if event.job_id == RUN else None, EVENT_JOB_MAX_INSTANCES)
    how: dict[str, Any] = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    scheduler.add_job(run, trigger, id=RUN, next_run_time=first, **how)
    scheduler.add_job(_Sender(asked, notices), IntervalTrigger(seconds=again_s), id="notices", **how)
    with _listening(events):
        _say_first(first)
        scheduler.start()
        while (event := _next(events, scheduler.wakeup)) == ENDED:
            _say_next(scheduler)
        scheduler.pause()
        run.stop(signal.SIGTERM)
        while run.at_work:
            if _next(events, scheduler.wakeup) != ENDED:
                run.stop(signal.SIGKILL)
        scheduler.shutdown()
    say(f"schedule: ended by {signal.Signals(event).name}.")


class _Run:
    """A retraining that is due; called in a thread of the scheduler."""

    def __init__(self, command: Sequence[str], events: "SimpleQueue[int]", stamp: Path) -> None:
        self._command, self._events, self._stamp = command, events, stamp
        self._lock, self._stopping = threading.Lock(), False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def at_work(self) -> bool:
        return self._process is not None

    def __call__(self) -> None:
        try:
            with self._lock:
                if self._stopping:
                    return
                say("schedule: a retraining begins.")
                self._stamp.touch()
                # In a session of its own: Ctrl-C reaches it once, from here.
                self._process = subprocess.Popen(self._command, start_new_session=True)
            code = self._process.wait()
            means = f": {MEANS[code]}" if code in MEANS else ""
            killed = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}{means}"
            say(f"schedule: the retraining {killed}.")
        finally:
            self._process = None
            self._events.put(ENDED)

    def stop(self, number: signal.Signals) -> None:
        """Begin none any more, and send the one that runs a signal: all that it started too, where it is the last."""
        with self._lock:
            self._stopping, process = True, self._process
        if process is not None and process.poll() is None:
            say(f"schedule: {number.name} to the retraining that runs; it is waited for.")
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number) if number == signal.SIGKILL else process.send_signal(number)


class _Sender:
    """Sends what waits; called in a thread of the scheduler. What it said last it does not say again."""

    def __init__(self, asked: Notify, notices: Path) -> None:
        self._asked, self._notices = asked, notices
        self._said: list[str] = []

    def __call__(self) -> None:
        before, self._said = self._said, resend(self._asked, self._notices)
        for sentence in self._said:
            if sentence not in before:
                note(sentence)


def _since(stamp: Path) -> datetime:
    """When the last run began; with the first schedule, now."""
    if not stamp.exists():
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    return datetime.fromtimestamp(stamp.stat().st_mtime, UTC)


def _say_first(due: datetime | None) -> None:
    if due is not None and due <= datetime.now(UTC):
        say(f"schedule: a retraining was due {_told(due)} and is made up for now.")
    elif due is not None:
        say(f"schedule: the next retraining is due {_told(due)}.")


def _say_next(scheduler: BackgroundScheduler) -> None:
    job = scheduler.get_job(RUN)
    if job is not None:
        say(f"schedule: the next retraining is due {_told(job.next_run_time)}.")


def _told(due: datetime) -> str:
    return f"{due:%A %Y-%m-%d %H:%M %Z}"


def _next(events: "SimpleQueue[int]", wake: Callable[[], None]) -> int:
    while True:
        try:
            return events.get(timeout=LOOK_S)
        except Empty:
            wake()


@contextmanager
def _listening(events: "SimpleQueue[int]") -> Iterator[None]:
    """Signals are events while the block runs."""
    before = {number: signal.signal(number, lambda got, _frame: events.put(got)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
