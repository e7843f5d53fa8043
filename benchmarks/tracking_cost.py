"""What tracking costs a search: milliseconds a trial of 20 epochs × 5 metrics, in sqlite, beside the ordinary ways.

    python benchmarks/tracking_cost.py [--trials 16]

`caller` is what the trial waits; `all` is every second until the last byte is in the store, divided by the trials;
`cpu` is processor time, which the search shares. What a stage pays before it may go on stands first.
"""

import argparse
import importlib.metadata
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EPOCHS, METRICS, PARAMS = 20, 5, 9


def values(epoch: int) -> dict[str, float]:
    return {f"val/m{number}": epoch / (number + 1) for number in range(METRICS)}


def settings(trial: int) -> dict[str, Any]:
    return {f"optimizer.p{number}": trial * number for number in range(PARAMS)}


def ours(root: Path, trials: int) -> tuple[float, float]:
    from assay.params import Tracking
    from assay.tracking import open_tracker

    began = time.perf_counter()
    caller = 0.0
    with (
        open_tracker(Tracking(), root, {"study": "s", "data_version": "d"}) as tracker,
        tracker.run("search", kind="search") as search,
    ):
        for number in range(trials):
            start = time.perf_counter()
            run = tracker.start(
                f"trial {number:03}", kind="trial", params=settings(number), tags={"trial": number}, parent=search
            )
            for epoch in range(EPOCHS):
                run.log(values(epoch), epoch)
            run.end()
            caller += time.perf_counter() - start
    return caller, time.perf_counter() - began


def mlflow_way(log: Callable[[Any, str, int], None]) -> Callable[[Path, int], tuple[float, float]]:
    """The client, called from the trial itself."""

    def run(root: Path, trials: int) -> tuple[float, float]:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{root}/mlruns/mlflow.db")
        experiment = client.create_experiment("assay", (root / "mlruns/artifacts").as_uri())
        began = time.perf_counter()
        for number in range(trials):
            run_id = client.create_run(experiment, run_name=f"trial {number:03}").info.run_id
            for name, value in settings(number).items():
                client.log_param(run_id, name, value)
            for epoch in range(EPOCHS):
                log(client, run_id, epoch)
            client.set_terminated(run_id)
        seconds = time.perf_counter() - began
        return seconds, seconds

    return run


def each_metric(client: Any, run_id: str, epoch: int) -> None:
    for name, value in values(epoch).items():
        client.log_metric(run_id, name, value, step=epoch)


def each_epoch(client: Any, run_id: str, epoch: int) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    client.log_batch(run_id, [Metric(name, value, now, epoch) for name, value in values(epoch).items()])


def a_stage(root: Path) -> None:
    """What one stage waits: opening and starting a run, then, at its end, for the rest of MLflow's import."""
    from assay.params import Tracking
    from assay.tracking import open_tracker

    start = time.perf_counter()
    tracker = open_tracker(Tracking(), root, {"study": "s"})
    run = tracker.start("prepare", kind="stage")
    opened = time.perf_counter()
    run.end()
    tracker.close()
    print(f"a stage: {1e3 * (opened - start):.0f} ms until it goes on", end="")
    print(f", {time.perf_counter() - start:.1f} s in all if it does nothing meanwhile (MLflow's import)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=16)
    trials = parser.parse_args().trials
    print(
        f"MLflow {importlib.metadata.version('mlflow')}, {trials} trials, {EPOCHS} epochs × {METRICS} metrics, sqlite"
    )
    folder = Path(tempfile.mkdtemp(prefix="tracking-cost-"))
    fresh = folder / "fresh"
    try:
        print("an empty project, where MLflow creates its database first; ", end="")
        a_stage(fresh)
        ways = {
            "ours": ours,
            "log_metric each": mlflow_way(each_metric),
            "log_batch an epoch": mlflow_way(each_epoch),
            "ours again": ours,
        }
        for number, (name, way) in enumerate(ways.items()):
            root = folder / f"way {number}"
            shutil.copytree(fresh, root)
            _forget(root)
            cpu = time.process_time()
            caller, whole = way(root, trials)
            cpu = time.process_time() - cpu
            figures = [f"{1e3 * seconds / trials:7.1f}" for seconds in (caller, whole, cpu)]
            print(f"{name:20} ms a trial: caller {figures[0]}   all {figures[1]}   cpu {figures[2]}")
    finally:
        shutil.rmtree(folder)


def _forget(root: Path) -> None:
    """The experiment, so that every way begins with an empty one."""
    import sqlite3

    database = sqlite3.connect(root / "mlruns" / "mlflow.db")
    database.execute("update experiments set name = 'before' where name = 'assay'")
    database.commit()
    database.close()


if __name__ == "__main__":
    main()
