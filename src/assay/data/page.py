"""A page of sample pictures a class, to be looked at before anything is trained. Owns its HTML, one file.

Pictures come from train alone: who has looked at test has begun to fit it.
"""

import base64
import html
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.data.dataset import About
from assay.data.writing import OpenSplit

EACH = 10  # pictures a class, or a fifth of the range of a number
CLASSES = 60  # shown; the rest is counted
LARGEST = 96  # pixels a side on the page

STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem;max-width:72rem;background:#fff;color:#222}
h2{font-size:1rem;margin:1.2rem 0 .3rem}img{height:72px;image-rendering:auto;margin:0 4px 4px 0;
border:1px solid #ddd}"""


def write_page(about: About, train: OpenSplit, path: Path) -> None:
    """Write the page for the training samples of a finished data set."""
    groups = _groups(about, train)
    parts = ["<!doctype html><meta charset='utf-8'><title>Samples</title>", f"<style>{STYLE}</style>"]
    parts.append("<h1>Training samples</h1>")
    counts = ", ".join(f"{name} {count}" for name, count in about.counts.items())
    parts.append(f"<p>{html.escape(about.task)} · {html.escape(counts)} · version {about.version}</p>")
    for title, rows in groups[:CLASSES]:
        parts.append(f"<h2>{html.escape(title)} · {len(rows)}</h2><div>")
        parts += [_figure(about, train, int(row)) for row in rows[:EACH]]
        parts.append("</div>")
    if len(groups) > CLASSES:
        parts.append(f"<p>and {len(groups) - CLASSES} more.</p>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _groups(about: About, train: OpenSplit) -> list[tuple[str, NDArray[np.int64]]]:
    """Titles and the rows under them: the classes, or fifths of the first target's range."""
    targets = np.stack([row.target for row in train.rows])
    if about.classes is None:
        values = targets[:, 0]
        edges = np.quantile(values, np.linspace(0, 1, 6))
        place = np.clip(np.searchsorted(edges, values, "right") - 1, 0, 4)
        name = about.target_names[0]
        return [(f"{name} {edges[i]:g} to {edges[i + 1]:g}", np.flatnonzero(place == i)) for i in range(5)]
    if about.task == "multilabel":
        return [(name, np.flatnonzero(targets[:, place] == 1)) for place, name in enumerate(about.classes)]
    return [(name, np.flatnonzero(targets == place)) for place, name in enumerate(about.classes)]


def _figure(about: About, train: OpenSplit, row: int) -> str:
    name = html.escape(train.rows[row].name, quote=True)
    sample = train.samples.take([row])[0]
    if about.spec.axes != ("channel", "height", "width") or about.spec.dtype != "uint8":
        return f"<code title='{name}'>{html.escape(str(sample.ravel()[:16].tolist()))}</code>"
    step = -(-max(sample.shape[1:]) // LARGEST)
    encoded = base64.b64encode(png(sample[:, ::step, ::step])).decode()
    return f"<img title='{name}' alt='{name}' src='data:image/png;base64,{encoded}'>"


def png(planes: NDArray[Any]) -> bytes:
    """A `uint8 C×H×W` array with 1 or 3 channels as a PNG file, by the format's specification (ISO/IEC 15948)."""
    channels, height, width = planes.shape
    assert channels in (1, 3) and planes.dtype == np.uint8, f"{planes.dtype} {planes.shape} is no picture"
    rows = np.ascontiguousarray(np.moveaxis(planes, 0, -1)).reshape(height, -1)
    filtered = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()  # 0: rows are not filtered
    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(filtered)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
