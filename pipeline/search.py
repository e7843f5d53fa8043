"""Find the recipe that wins. Owns results/search/; trains nothing to its end."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))  # in a submitted job: the code that came with it

from assay.places import AUGMENTED, PREPARED
from assay.terminal import importing, stage

with importing():
    from assay.check import checked, placed
    from assay.search import begin, run_search
    from assay.search.job import refuse_absent

ROOT, OUT = Path(), Path("results/search")


def main() -> None:
    refuse_absent(PREPARED)
    params = checked(on_prepared=True)
    with begin(params) as machine:  # Ray comes up while the rest is opened
        from assay.data.dataset import open_prepared
        from assay.folds import kin_of
        from assay.tracking import open_tracker

        data = open_prepared(PREPARED, AUGMENTED)
        kin = kin_of(data, PREPARED, AUGMENTED) if params.search.finals != "off" else None
        with open_tracker(params.tracking, ROOT, {"data_version": data.about.version}) as tracker:
            run_search(params, data, ROOT, OUT, tracker, machine, kin)


if __name__ == "__main__":
    stage(main, placed)
