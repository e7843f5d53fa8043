"""Judge the trained model on the test split. Owns results/evaluate/; the only stage that reads test."""

from pathlib import Path

from assay.places import MODEL, PREPARED
from assay.terminal import importing, say, stage

with importing():
    from assay.check import checked, placed
    from assay.evaluate import evaluate, logged
    from assay.model_files import load_model
    from assay.params import named
    from assay.tracking import open_tracker, study_of


def main() -> None:
    params = checked(on_prepared=True)
    out = Path("results/evaluate")
    trained = load_model(MODEL)
    tags = {"data_version": trained.about.version, "study": study_of(Path("results/search/report.json"))}
    with (
        open_tracker(params.tracking, Path.cwd(), tags) as tracker,
        tracker.run(
            "evaluate", kind="stage", params=named("evaluate", params.evaluate), tags={"stage": "evaluate"}
        ) as run,
    ):
        verdict = evaluate(trained, PREPARED, params.evaluate, out)
        run.log(dict(logged(verdict.figures)), step=0)
        for picture in sorted((out / "pictures").glob("*.png")):
            run.picture(picture)
        for name in ("metrics.json", "report.json"):
            run.file(out / name)
    for note in verdict.notes:
        say(f"evaluate: {note}")


if __name__ == "__main__":
    stage(main, placed)
