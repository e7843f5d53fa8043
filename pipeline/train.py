"""Train the recipe that search chose. Owns results/train/; does not know how the recipe was found."""

from pathlib import Path

from assay.places import AUGMENTED, PREPARED
from assay.terminal import Progress, importing, stage

with importing():
    from assay.check import checked, placed
    from assay.data.dataset import open_prepared
    from assay.settings import read_recipe
    from assay.tracking import open_tracker, study_of
    from assay.train import train
    from assay.weights import weights_of


def main() -> None:
    params = checked(on_prepared=True)
    recipe = read_recipe("results/search/recipe.yaml")
    data = open_prepared(PREPARED, AUGMENTED)
    tags = {"data_version": data.about.version, "study": study_of(Path("results/search/report.json"))}
    with open_tracker(params.tracking, Path.cwd(), tags) as tracker, Progress("train", recipe.epochs) as progress:
        train(
            recipe,
            data,
            params.data,
            metric=params.search.watched,
            weights=weights_of(recipe, Path.cwd()),
            tracker=tracker,
            progress=progress,
            checkpoints=Path(".assay/checkpoints"),
            out=Path("results/train"),
        )


if __name__ == "__main__":
    stage(main, placed)
