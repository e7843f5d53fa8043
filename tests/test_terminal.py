"""How Assay speaks: exit codes, one line a sentence, progress with and without a terminal."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assay.terminal import Progress, duration, stage, table
from waits import LIMIT_S


def run(body: str, *words: str) -> subprocess.CompletedProcess[str]:
    program = "from assay.errors import InputError\nfrom assay.terminal import *\n" + body
    return subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)


def test_what_a_person_can_mend_is_one_line_a_sentence_and_exit_code_2() -> None:
    ended = run("def main():\n raise InputError('first.', 'second.')\nstage(main)")
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", "first.\nsecond.\n")


def test_our_own_bug_keeps_its_stack_trace() -> None:
    ended = run("def main():\n assert False, 'ours'\nstage(main)")
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


def test_ctrl_c_says_how_to_go_on() -> None:
    ended = run("def main():\n raise KeyboardInterrupt\nstage(main)")
    assert ended.returncode == 130
    assert ended.stderr == "Stopped; what is done is kept. Run the same command again to go on.\n"


def test_ctrl_c_is_one_below_a_librarys_error_too() -> None:
    ended = run("def main():\n raise RuntimeError('torn') from KeyboardInterrupt()\nstage(main)")
    assert ended.returncode == 130
    assert ended.stderr == "Stopped; what is done is kept. Run the same command again to go on.\n"


def test_a_verb_that_keeps_nothing_does_not_say_that_it_does() -> None:
    ended = run("def main():\n raise KeyboardInterrupt\nstage(main, go_on=AGAIN)")
    assert (ended.returncode, ended.stderr) == (130, "Stopped; run the same command again to begin anew.\n")


def test_a_polite_signal_ends_a_stage_through_its_own_ends() -> None:
    program = """
import signal
from assay.terminal import stage
def main():
    try:
        print('up', flush=True)
        signal.pause()
    finally:
        print('closed', flush=True)
stage(main)"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (143, "closed\n")
    assert err == "Stopped from outside; what is done is kept. Run the same command again to go on.\n"


def test_a_full_disk_is_a_sentence_whatever_a_library_made_of_it(folder: Path) -> None:
    body = """
def main():
    try:
        with open('/dev/full', 'wb', buffering=0) as file:
            file.write(b'x')
    except OSError as error:
        raise RuntimeError('cannot commit') from error
stage(main)"""
    ended = run(body)
    assert ended.returncode == 2
    assert ended.stderr.endswith("the disk is full; free some space and run the same command again.\n")
    assert ended.stderr.count("\n") == 1


def test_without_a_terminal_the_last_state_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("search", total=16) as progress:
        progress.step(3, best="accuracy 0.9710", note="2 stopped early", beneath=["trial 2 lr 0.1"])
        progress.step(16, best="accuracy 0.9800")
    assert capsys.readouterr().err == "search 16/16 · best accuracy 0.9800\n"


def test_without_a_terminal_a_long_run_is_heard_of_in_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.terminal.PLAIN_EVERY_S", 0.0)
    with Progress("train", total=4) as progress:
        progress.step(1)
        progress.step(2, note="lr 0.001")
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("train 1/4 · ")
    assert first.endswith(" left")
    assert second.startswith("train 2/4 · lr 0.001 · ")


def moving(columns: int) -> bytes:
    """What stands at a terminal of that width."""
    program = (
        "from assay.terminal import Progress\n"
        "with Progress('search', 16) as p:\n"
        " p.step(3, best='accuracy 0.971 [x]', note='2 stopped', beneath=['trial 2 lr [0.1]'])"
    )
    reader, writer = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": str(columns)}
    subprocess.run([sys.executable, "-c", program], stderr=writer, check=True, env=environment)
    os.close(writer)
    shown = b""
    while True:
        try:
            shown += os.read(reader, 65536)
        except OSError:  # the other side is closed and all is read
            break
    os.close(reader)
    return shown


def test_at_a_terminal_a_moving_line_tells_what_runs_and_the_best_so_far() -> None:
    shown = moving(columns=120)
    assert b"search" in shown
    assert b"3/16" in shown
    assert "best accuracy 0.971 [x] · 2 stopped".encode() in shown
    assert b"trial 2 lr [0.1]" in shown


def test_at_a_narrow_terminal_what_runs_and_how_far_it_is_come_first() -> None:
    shown = moving(columns=40)
    assert b"search" in shown
    assert b"3/16" in shown
    assert b"best accuracy" in shown


def test_the_time_left_is_measured_on_what_this_run_has_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("assay.terminal.PLAIN_EVERY_S", 0.0)
    monkeypatch.setattr("time.monotonic", lambda: now)
    with Progress("train", total=40) as progress:
        now = 110.0
        progress.step(21)  # 20 of them are an earlier run's
        now = 120.0
        progress.step(22)
    assert capsys.readouterr().err.splitlines() == ["train 21/40", "train 22/40 · 3 min 0 s left"]


def test_of_work_without_a_known_end_only_a_long_one_is_spoken_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Progress("predict", None) as progress:
        progress.step(7)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("assay.terminal.PLAIN_EVERY_S", 0.0)
    with Progress("predict", None) as progress:
        progress.step(7)
    assert capsys.readouterr().err == "predict 7\n"


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_a_duration_is_said_as_a_person_says_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_table_shows_its_words_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table("Result [1]", [("won", "cnn [relu]"), ("test", "0.98")])
    shown = capsys.readouterr().out
    assert "cnn [relu]" in shown
    assert "won" in shown


def test_a_title_is_not_broken_at_the_width_of_a_narrow_table(capsys: pytest.CaptureFixture[str]) -> None:
    table("The best recipe differs from the base", [("lr", "0.1")])
    assert capsys.readouterr().out.startswith("The best recipe differs from the base\n")


def test_a_stage_leaves_the_signals_as_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stage(lambda: None)
    assert signal.getsignal(signal.SIGTERM) == before


PATHS = {  # what a stage meets → what it says
    "Path('x').write_text('')\n Path('x/y').read_text()": "x/y: cannot be used (Not a directory); a file",
    "Path('x').write_text('')\n Path('x').mkdir()": "x: cannot be used (File exists); a file stands",
    "Path('n' * 300).exists()": "nnn",
    "Path('x').mkdir()\n Path('x').read_text()": "x: cannot be used (Is a directory); a folder stands where a file",
    "Path('gone').read_text()": "gone: cannot be used (No such file or directory); bring it back, or run the stage",
    "raise MemoryError()": "out of memory (no more is to be had); end other programs, or choose smaller pictures",
}


@pytest.mark.parametrize("body", PATHS)
def test_what_the_machine_refuses_is_one_sentence(body: str, folder: Path) -> None:
    ended = run(f"from pathlib import Path\ndef main():\n {body}\nstage(main)")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith(PATHS[body])
