"""The one thread that carries entries from the spool into the store. Owns when it writes and what an outage costs (no
training, one sentence); knows neither MLflow nor what an entry means.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, TypeVar

from assay import terminal
from assay.tracking import spool
from assay.tracking.spool import Entry, Spool

FLUSH_S = 5  # what waits longer is written, so that a kill loses less than 10 s in the store (and nothing in the spool)
RETRY_S = 5  # between two attempts while the store is away
SLEPT_S = 30  # late: this process was stopped, and another may have gone on with its runs
LAST_TRIES = 3  # at the end, a second apart: a database that another process holds for a moment is worth a wait

Answer = TypeVar("Answer")


class Outage(Exception):
    """The store cannot be written now; the same entries may be written later."""


class Store(Protocol):
    """Where entries go. Every method may raise Outage; writing the same entries twice changes nothing.

    `again`: some may be there already, or be of runs with which a younger process than their `writer` has gone on.
    """

    def open(self) -> None: ...
    def write(self, entries: Sequence[Entry], writer: str, again: bool) -> None: ...
    def close_orphans(self, writer: str) -> None: ...


class Writer:
    """Takes entries at once, writes them in order every few seconds; `close` waits for the last one, or an outage."""

    def __init__(self, store: Store, shown: str, folder: Path, store_id: str) -> None:
        self._store, self._shown, self._folder, self._store_id = store, shown, folder, store_id
        self._spool: Spool = spool.open_spool(folder, store_id)
        self._backlog: list[Entry] = []
        self._questions: list[tuple[Callable[[], Any], Future[Any]]] = []
        self._asked = self._questions[:]
        self._changed = threading.Condition()
        self._due = float("inf")
        self._closing, self._adopted, self._failures, self._doubted = False, False, 0, False
        self._said: set[str] = set()
        self._bug: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="assay-tracking", daemon=True)
        self._thread.start()

    @property
    def id(self) -> str:
        return self._spool.id

    def put(self, entry: Entry) -> None:
        """Take one entry; it is on disk when this returns."""
        with self._changed:
            self._take(entry)

    def put_file(self, entry: Entry, path: Path) -> None:
        """Take one entry with the file or folder `path` as it is now; the copy's place becomes the entry's `path`."""
        with self._changed:  # held while copying, or settling could clear the folder in between
            try:
                kept = self._spool.keep(path)
            except FileNotFoundError:
                raise
            except OSError as error:
                self._say_once("disk", f"{path} cannot be kept in {self._folder} ({error}).")
            else:
                self._take({**entry, "path": str(kept)})

    def ask(self, question: Callable[[], Answer]) -> Answer | None:
        """The answer of the store after all that was logged before; None while it is away."""
        future: Future[Answer] = Future()
        with self._changed:
            if self._bug is not None:
                raise self._bug
            self._questions.append((question, future))
            self._changed.notify()
        return future.result()

    def doubt(self) -> None:
        """Another process has gone on with a run of ours: look whose they are before the next write."""
        with self._changed:
            self._doubted = True

    def close(self) -> None:
        """Write what is left; where the store is away it stays in the spool for the next start."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        if self._bug is not None:
            raise self._bug
        if self._backlog:
            self._say_once("away", f"{len(self._backlog)} entries wait in {self._folder} for the next start.")
            self._spool.release()
        else:
            self._spool.remove()

    def _take(self, entry: Entry) -> None:
        try:
            self._spool.append(entry)
        except OSError as error:  # no room on the disk: it may still reach the store from memory
            self._say_once("disk", f"What is logged cannot be kept in {self._folder} ({error}).")
        self._backlog.append(entry)
        if len(self._backlog) == 1:
            self._due = time.monotonic() + FLUSH_S
            self._changed.notify()

    def _run(self) -> None:
        try:
            while not self._turn():
                pass
        except BaseException as error:  # noqa: BLE001  a bug of ours; raised by close, so that it costs no training
            with self._changed:
                self._bug = error
                for _, future in self._asked + self._questions:
                    if not future.done():
                        future.set_exception(error)

    def _turn(self) -> bool:
        """One attempt, when it is due. True when the thread may end."""
        with self._changed:
            while not (self._closing or self._questions or time.monotonic() >= self._due or not self._adopted):
                self._changed.wait(min(self._due - time.monotonic(), threading.TIMEOUT_MAX))
            batch, self._asked, self._questions = self._backlog[:], self._questions, []
            again = self._failures > 0 or self._doubted or time.monotonic() > self._due + SLEPT_S
            self._doubted = False
        written = self._attempt(batch, again)
        for question, future in self._asked:
            self._answer(question, future, written)
        with self._changed:
            done = not self._backlog if written else self._failures >= LAST_TRIES
            return self._closing and not self._questions and done

    def _attempt(self, batch: list[Entry], again: bool) -> bool:
        try:
            self._store.open()
            self._adopt()
            self._store.write(batch, self.id, again)
        except Outage as outage:
            self._wait_for_store(outage)
            return False
        self._settle(len(batch))
        return True

    def _settle(self, num_written: int) -> None:
        with self._changed:
            self._failures = 0
            del self._backlog[:num_written]
            self._due = time.monotonic() + FLUSH_S if self._backlog else float("inf")
            if num_written:
                self._spool.settle(len(self._backlog))

    def _adopt(self) -> None:
        """Write what processes that died had still to tell, and end their runs; first of all, and once."""
        if self._adopted:
            return
        for left in spool.abandoned(self._folder, self._store_id):
            try:
                self._store.write(left.entries(), left.id, again=True)
                self._store.close_orphans(left.id)
            except Outage:
                left.release()
                raise
            left.remove()
        self._adopted = True

    def _answer(self, question: Callable[[], Any], future: "Future[Any]", written: bool) -> None:
        try:
            future.set_result(question() if written else None)
        except Outage:
            future.set_result(None)

    def _wait_for_store(self, outage: Outage) -> None:
        self._failures += 1
        with self._changed:
            self._due = time.monotonic() + RETRY_S
            if self._closing:
                self._changed.wait(1)
            elif not self._adopted:
                self._changed.wait_for(lambda: self._closing or bool(self._questions), RETRY_S)
        if self._failures > 1:  # a store that was busy for a moment is not worth a word
            self._say_once(
                "away",
                f"MLflow's store {self._shown} does not answer ({outage}); the work goes on, what is logged is kept in "
                f"{self._folder} and written when it is back, or at the next start.",
            )

    def _say_once(self, about: str, sentence: str) -> None:
        if about not in self._said:
            self._said.add(about)
            terminal.say(sentence)
