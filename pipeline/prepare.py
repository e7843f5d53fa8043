"""Decode, check, split and write the data. Owns results/prepare/; what is where, params.yaml says."""

from pathlib import Path

from assay.terminal import Progress, importing, say, stage

with importing():
    from assay.check import check_plan, checked, note_prepared, placed
    from assay.data.prepare import plan
    from assay.params import named
    from assay.tracking import open_tracker

OUT = Path("results/prepare")


def main() -> None:
    params = checked()
    planned = plan(params.data, params.evaluate.slices)
    check_plan(params, planned)
    with (
        open_tracker(params.tracking, Path.cwd(), {"study": "none"}) as tracker,
        tracker.run("prepare", kind="stage", params=named("data", params.data), tags={"stage": "prepare"}) as run,
    ):
        with Progress("prepare", planned.num_samples) as progress:
            report = planned.write(OUT, progress.step)
        note_prepared(params.data, report.about.version)
        run.tag("data_version", report.about.version)
        run.log({f"data/{name}": float(count) for name, count in report.about.counts.items()}, step=0)
        for name in ("report.json", "samples.html"):
            run.file(OUT / name)
    for sentence in report.sentences():
        say(f"prepare: {sentence}")


if __name__ == "__main__":
    stage(main, placed)
