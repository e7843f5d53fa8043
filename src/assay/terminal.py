"""How Assay speaks at the terminal: progress, errors, the closing table. Owns exit codes; computes nothing."""

import gc
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from assay.errors import FULL, REFUSED, InputError, is_out_of_memory, of_path

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

PLAIN_EVERY_S = 5.0  # without a terminal: a line this often, so that an hour is a page of log and not a book
GO_ON = "what is done is kept. Run the same command again to go on."
STOPPED = 128 + signal.SIGINT  # the exit code after Ctrl-C
AGAIN = "run the same command again to begin anew."  # of verbs that keep nothing


def say(text: str) -> None:
    """One line to the person, at once."""
    print(text, flush=True)


def note(text: str) -> None:
    """One line beside what a verb writes, at once."""
    print(text, file=sys.stderr, flush=True)


def stage(
    main: Callable[[], None], placed: Callable[[InputError], InputError] | None = None, go_on: str = GO_ON
) -> None:
    """Run a stage or a verb and turn its end into words and an exit code; `placed` gives a setting's name its line.

    Exit codes: 2 with one line a sentence for what a person can mend (a path that cannot be used and too little memory
    too), 130 after Ctrl-C and 143 after SIGTERM with a line on how to go on. Our own bugs keep their stack trace.
    """

    def terminated(number: int, _frame: object) -> NoReturn:
        _leave(128 + number, f"Stopped from outside; {go_on}")

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        main()
    except InputError as error:
        _leave(2, *(placed(error) if placed else error).sentences)
    except KeyboardInterrupt:
        _leave(STOPPED, f"Stopped; {go_on}")
    except Exception as error:
        if is_stopped(error):
            _leave(STOPPED, f"Stopped; {go_on}")
        sentence = of_machine(error)
        if sentence is None:
            raise
        _leave(2, sentence)
    finally:
        signal.signal(signal.SIGTERM, before)
        gc.freeze()  # the interpreter's last collection would take seconds to look through what torch and MLflow made


@contextmanager
def importing() -> Iterator[None]:
    """Around what a stage imports, which takes seconds: Ctrl-C is a line there too."""
    try:
        yield
    except BaseException as error:
        if not is_stopped(error):
            raise
        _leave(STOPPED, f"Stopped; {GO_ON}")


def is_stopped(error: BaseException) -> bool:
    """Whether it is Ctrl-C, or what a library or Python made of it; a class that is being defined makes an error."""
    return any(isinstance(cause, KeyboardInterrupt) for cause in causes(error))


def causes(error: BaseException) -> Iterator[BaseException]:
    """`error`, what it came from, and so on to the first."""
    below: BaseException | None = error
    while below is not None:
        yield below
        below = below.__cause__


def _leave(code: int, *sentences: str) -> NoReturn:
    for sentence in sentences:
        print(sentence, file=sys.stderr, flush=True)
    raise SystemExit(code)


def of_machine(error: Exception) -> str | None:
    """The sentence where it is the machine that refuses: a path, the disk, memory; None where it is not."""
    if isinstance(error, OSError) and error.filename is not None:
        return of_path(error)
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.errno in FULL | REFUSED:  # also below what a library made of it
            return of_path(below, below.filename or Path.cwd())
        below = below.__cause__ or below.__context__
    if is_out_of_memory(error):
        said = (str(error).strip() or "no more is to be had").splitlines()[0].rstrip(".")
        return f"out of memory ({said}); end other programs, or choose smaller pictures, batches or a smaller network."
    return None


class Progress:
    """What runs, how far it is, the best so far and the time left: a moving line at a terminal, plain lines elsewhere.

    Where nobody knows the `total`, no time is left to tell, and work that is done soon is not spoken of.

    with Progress("search", total=16) as progress:
        progress.step(3, best="accuracy 0.971", note="2 stopped early")
    """

    def __init__(self, what: str, total: int | None) -> None:
        self.what, self.total = what, total
        self._began = self._said = time.monotonic()
        self._before: int | None = None  # done by an earlier run, and no measure of this one's speed
        self._last = ""
        self._bar = _bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task(what, total=total, rest="", beneath=()) if self._bar else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif self._last and self.total is not None:
            self._print()

    def step(self, done: int, best: str | None = None, note: str = "", beneath: Sequence[str] = ()) -> None:
        """Say that `done` of `total` are finished; what stands `beneath` is for a terminal alone."""
        parts = [f"best {best}" if best else "", note]
        rest = " · ".join(part for part in parts if part)
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, rest=rest, beneath=tuple(beneath))
            return
        left = self._left(done)
        far = f"{self.what} {done}" if self.total is None else f"{self.what} {done}/{self.total}"
        self._last = " · ".join(part for part in (far, rest, left) if part)
        if time.monotonic() - self._said >= PLAIN_EVERY_S:
            self._print()

    def _left(self, done: int) -> str:
        if self._before is None:  # a first word of many may be of a run that goes on: time is measured from here
            self._before, self._began = (0, self._began) if done <= 1 else (done, time.monotonic())
        here = done - self._before
        if self.total is None or not 0 < done < self.total or here <= 0:
            return ""
        seconds = (time.monotonic() - self._began) / here * (self.total - done)
        return f"{duration(seconds)} left"

    def _print(self) -> None:
        print(self._last, file=sys.stderr, flush=True)
        self._said, self._last = time.monotonic(), ""


def duration(seconds: float) -> str:
    """A length of time as a person says it: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def numbered(count: int, what: str) -> str:
    """`1 trial`, `3 trials`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def table(title: str, rows: Iterable[tuple[str, ...]], header: tuple[str, ...] | None = None) -> None:
    """A short table, drawn by rich; as wide as it needs where there is no terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=200)
    drawn = Table(box=box.SIMPLE_HEAD, show_header=header is not None)
    listed = list(rows)
    for number in range(len(listed[0]) if listed else 0):
        drawn.add_column(header[number] if header else "", overflow="fold")
    for row in listed:
        drawn.add_row(*row)
    console.print(title, style="italic", markup=False, highlight=False)  # as a table's own it breaks at its width
    console.print(drawn, markup=False)


def _bar() -> "Bar":
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.table import Column
    from rich.text import Text

    class Moving(RichProgress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            for task in self.tasks:
                yield from (
                    Text(line, no_wrap=True, overflow="ellipsis", style="dim") for line in task.fields["beneath"]
                )

    left = TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True, min_width=5))
    what = TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=6))
    far = MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=5))  # of a narrow terminal the rest is cut
    columns = (what, BarColumn(bar_width=16), far, left)
    rest = TextColumn("{task.fields[rest]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    return Moving(*columns, rest, console=Console(stderr=True))
