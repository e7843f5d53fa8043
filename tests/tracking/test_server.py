"""Against a real `mlflow server`, which goes away and comes back."""

import math
from pathlib import Path

import pytest

from assay.errors import InputError
from assay.params import Tracking
from assay.tracking import Tracker, open_tracker, ui_link
from servers import Server
from waits import until

from .conftest import Eyes

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("hasty")]


def opened(server: Server, root: Path, experiment: str) -> Tracker:
    return open_tracker(Tracking(uri=server.uri, experiment=experiment), root, {"study": "s1"})


def test_a_run_with_all_it_may_hold_arrives_at_a_server(server: Server, bare_root: Path, tmp_path: Path) -> None:
    (tmp_path / "grid.png").write_bytes(b"picture")
    params = {f"p{number}": "x" * 6000 for number in range(150)}
    with opened(server, bare_root, "whole") as tracker, tracker.run("search", kind="search", params=params) as search:
        trial = tracker.start("trial 001", kind="trial", tags={"trial": 1}, parent=search)
        for step in range(30):
            trial.log({f"m{number}": step for number in range(80)} | {"nan": math.nan, "up": math.inf}, step)
        trial.picture(tmp_path / "grid.png")
        trial.end("PRUNED")
        assert str(ui_link(search)).startswith(f"{server.uri}/#/experiments/")
    eyes = Eyes(server.uri, "whole")
    assert len(eyes.run("search").data.params) == 150
    assert eyes.run("trial 001").info.status == "KILLED"
    assert eyes.run("trial 001").data.tags["mlflow.parentRunId"] == eyes.run("search").info.run_id
    assert [step for step, _ in eyes.points("trial 001", "m79")] == list(range(30))
    assert math.isnan(eyes.points("trial 001", "nan")[0][1])
    assert eyes.files("trial 001", "pictures") == ["pictures/grid.png"]


def test_a_server_that_goes_and_comes_back_costs_nothing_and_doubles_nothing(
    server: Server, bare_root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grid.png").write_bytes(b"picture")
    eyes = Eyes(server.uri, "outage")
    other = opened(server, bare_root, "outage")
    short = other.start("train", kind="stage")
    with opened(server, bare_root, "outage") as tracker, tracker.run("search", kind="search") as search:
        before = tracker.start("trial 000", kind="trial", params={"lr": 0.1}, parent=search)
        before.log({"val/loss": 0.0}, step=0)
        assert ui_link(before)
        assert ui_link(short)
        server.stop()
        capfd.readouterr()
        during = tracker.start("trial 001", kind="trial", params={"lr": 0.2}, parent=search)
        for step in range(1, 6):
            before.log({"val/loss": float(step)}, step)
            during.log({"val/loss": float(step)}, step)
        during.picture(tmp_path / "grid.png")
        during.end("FAILED", "diverged")
        said: list[str] = []

        def it_was_said() -> bool:
            said.extend(capfd.readouterr().out.splitlines())
            return bool(said)

        until(it_was_said)
        short.log({"val/loss": 1.0}, step=1)
        short.end()
        other.close()  # in the outage: what it had to tell stays in its spool
        said += capfd.readouterr().out.splitlines()
        assert len(said) == 2  # one sentence each
        assert all("the work goes on" in sentence for sentence in said)
        with pytest.raises(InputError, match=r"tracking\.uri: no MLflow server at"):
            opened(server, bare_root, "outage")

        server.start()
        until(lambda: len(eyes.runs()) == 4 and len(eyes.points("trial 000", "val/loss")) == 6)
        before.log({"val/loss": 6.0}, step=6)
        before.end()
    assert eyes.points("trial 000", "val/loss") == [(step, float(step)) for step in range(7)]
    assert eyes.points("trial 001", "val/loss") == [(step, float(step)) for step in range(1, 6)]
    assert eyes.run("trial 001").info.status == "FAILED"
    assert eyes.run("trial 001").data.tags["mlflow.parentRunId"] == eyes.run("search").info.run_id
    assert eyes.files("trial 001", "pictures") == ["pictures/grid.png"]

    opened(server, bare_root, "outage").close()  # the next start
    assert eyes.points("train", "val/loss") == [(1, 1.0)]
    assert eyes.run("train").info.status == "FINISHED"
    assert len(eyes.runs()) == 4
    assert list((bare_root / ".assay" / "spool").iterdir()) == []
