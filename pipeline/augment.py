"""Copy training samples with changes. Owns results/augment/; what is copied and how, params.yaml says."""

from pathlib import Path

from assay.places import PREPARED
from assay.terminal import Progress, importing, say, stage

with importing():
    from assay.check import checked, placed
    from assay.copies import count_copies, write_copies
    from assay.data.dataset import read_about
    from assay.params import named
    from assay.tracking import open_tracker

OUT = Path("results/augment")


def main() -> None:
    params = checked(on_prepared=True)
    tags = {"data_version": read_about(PREPARED).version, "study": "none"}
    with (
        open_tracker(params.tracking, Path.cwd(), tags) as tracker,
        tracker.run("augment", kind="stage", params=named("augment", params.augment), tags={"stage": "augment"}) as run,
    ):
        with Progress("augment", count_copies(PREPARED, params.augment)) as progress:
            report = write_copies(PREPARED, params.augment, params.recipe.augmentation, OUT, progress.step)
        run.log({"augment/copies": report.added}, step=0)
        run.picture(OUT / "grid.png")
        run.file(OUT / "report.json")
    for note in (f"augment: {report.added} copies.", *report.notes):
        say(note)


if __name__ == "__main__":
    stage(main, placed)
