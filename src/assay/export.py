"""A trained model as one file for other programs: ONNX or TorchScript. Owns the file and the proof that it is the same.

The file takes raw samples, uint8 N × spec.shape for any N, and gives `probabilities` N × classes or labels, or `values`
N × targets: everything between is inside. It carries the names of its outputs (`classes`, `target_names`, `task`).
"""

import io
import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from assay import modality
from assay.data.dataset import read_about, read_split
from assay.errors import InputError
from assay.modality import Sample
from assay.places import PREPARED
from assay.predict import decode, list_samples
from assay.terminal import causes, is_stopped, note

if TYPE_CHECKING:
    from assay.model_files import Trained

Format = Literal["onnx", "torchscript"]
SUFFIXES: Mapping[str, str] = {"onnx": ".onnx", "torchscript": ".pt"}
SAMPLES = 64  # real ones that the file is checked on
DEBUG = ".debug_pkl"  # where in whose files a network was traced: no use elsewhere, and it names this machine
TOLERANCE = 1e-4  # of a probability, or of a target's largest value; other kernels differ by some 1e-6

Answers = Callable[[NDArray[Any]], NDArray[np.float32]]  # raw samples to outputs


class Served(nn.Module):
    """Raw samples to what a person asks for."""

    def __init__(self, trained: "Trained") -> None:
        super().__init__()
        self.model, self.task = trained.model.cpu().eval(), trained.about.task

    def forward(self, samples: Tensor) -> Tensor:
        outputs: Tensor = self.model(samples)
        if self.task == "classification":
            return outputs.softmax(1)
        return outputs.sigmoid() if self.task == "multilabel" else outputs


def export(model: Path, form: Format, path: Path, source: Path = PREPARED) -> str:
    """Write the model in the folder `model` as `path`, checked against it on real samples from `source`.

    Returns:
        What was written, on how many samples it was checked and the largest difference, in words.

    Raises:
        InputError: see `load_model`, `real_samples` and `export_checked`.
    """
    from assay.model_files import load_model

    trained = load_model(model)
    samples = real_samples(trained, source)
    note(f"export: writing {path}, then {len(samples)} samples are asked of both; a large network takes a minute.")
    difference = export_checked(trained, form, samples, path)
    return f"{path} (checked on {len(samples)} samples; largest difference {difference:.1e})"


def export_checked(trained: "Trained", form: Format, samples: NDArray[Any], path: Path) -> float:
    """Write `path` and check it against the original on `samples`, in batches of several sizes.

    Returns:
        The largest absolute difference of an output.

    Raises:
        InputError: the difference is above what rounding explains (no file is left then), or `path` is not writable.
    """
    assert len(samples), "an exported file is checked on real samples"
    served = Served(trained)
    writer, reader = _WAYS[form]
    with torch.inference_mode():
        expected = served(torch.from_numpy(samples)).numpy()
    with _whole(path) as part:
        try:
            writer(served, _example(samples), part, _facts(trained))
        except OSError:
            raise  # a disk, not a network; see `_whole`
        except Exception as error:  # an exporter raises whatever its passes meet in a network
            if is_stopped(error):
                raise KeyboardInterrupt from error
            why = _why(error)
            raise InputError(f"{path}: torch cannot write this network as {form} ({why}); try the other.") from error
        answer = reader(part)
        found = np.concatenate([answer(batch) for batch in _uneven(samples)])
        difference = np.abs(found - expected).max(0)
        scale = np.abs(expected).max(0) if served.task == "regression" else np.ones(1)  # targets have units
        if not (difference <= TOLERANCE * scale).all():
            raise InputError(
                f"{path}: the {form} file's outputs differ from the model's by up to {difference.max():.2g}, more than "
                "rounding explains; it was not kept. Try the other format."
            )
    return float(difference.max())


def _why(error: Exception) -> str:
    """What began it, in a line: what an exporter says around it is advice to who wrote the network."""
    *_, first = causes(error)
    said = re.sub(r"\x1b\[[\d;]*m", "", str(first)).strip() or type(first).__name__
    return said.splitlines()[0].rstrip(" .")


def _example(samples: NDArray[Any]) -> Tensor:
    """Two samples to trace by: a batch of one is taken for a constant."""
    return torch.from_numpy(np.concatenate([samples[:1], samples[-1:]]))


def real_samples(trained: "Trained", source: Path) -> NDArray[Any]:
    """At most SAMPLES raw samples: of the validation split where `source` is a prepared data set, else of its files.

    Raises:
        InputError: there is none, or the prepared samples are of another shape than the model's.
    """
    if not source.exists():
        raise InputError(f"--samples: {source} does not exist; give pictures, or what `assay prepare` writes.")
    spec = trained.about.spec
    if (source / "dataset.json").exists():
        found = read_about(source).spec
        if found != spec:
            raise InputError(f"{source}: its samples are {found.shape}, the model's {spec.shape}; give other ones.")
        samples = np.array(read_split(source, "validation").parts[0].samples[:SAMPLES])
    else:
        asked = list_samples([source], trained.data, modality.of(spec.modality).suffixes)
        decoded = (decode(one.content, spec, trained.data) for one in asked)
        readable = (sample.array for sample in decoded if isinstance(sample, Sample))
        samples = np.array(list(islice(readable, SAMPLES)))
    if not len(samples):
        raise InputError(f"{source}: holds no sample that the exported file could be checked on.")
    return samples


def _uneven(samples: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Batches of one, of three and of the rest: a batch size that was baked in is found."""
    yield from (batch for batch in (samples[:1], samples[1:4], samples[4:]) if len(batch))


def _facts(trained: "Trained") -> dict[str, str]:
    about = trained.about
    return {
        "task": about.task,
        "classes": json.dumps(about.classes, ensure_ascii=False),
        "target_names": json.dumps(about.target_names, ensure_ascii=False),
        "data_version": about.version,
    }


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A place beside `path` that takes its name only when all went well."""
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        with suppress(OSError):  # the sentence is about `path`
            part.unlink(missing_ok=True)


def _write_onnx(served: Served, example: Tensor, path: Path, facts: dict[str, str]) -> None:
    import onnx

    output = "values" if served.task == "regression" else "probabilities"
    with warnings.catch_warnings():  # the exporter warns of its own innards
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            served,
            (example,),
            dynamo=True,
            input_names=["samples"],
            output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None, "the exporter was given no path, so it returns the program"
    model = program.model_proto
    for node in [*model.graph.node, *(inner for function in model.functions for inner in function.node)]:
        del node.metadata_props[:]  # where in whose files it was traced: no use elsewhere, and it names this machine
    onnx.helper.set_model_props(model, facts)
    onnx.save_model(model, path)


def _read_onnx(path: Path) -> Answers:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def answer(samples: NDArray[Any]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = session.run(None, {"samples": samples})[0]
        return found

    return answer


def _write_torchscript(served: Served, example: Tensor, path: Path, facts: dict[str, str]) -> None:
    with _deprecated(), torch.no_grad():
        traced = torch.jit.trace(served, (example,), check_trace=False)
        written = io.BytesIO(traced.save_to_buffer(_extra_files=facts))
    with zipfile.ZipFile(written) as whole, zipfile.ZipFile(path, "w") as kept:
        for entry in whole.infolist():
            if not entry.filename.endswith(DEBUG):
                kept.writestr(entry, whole.read(entry))


def _read_torchscript(path: Path) -> Answers:
    with _deprecated():
        loaded = torch.jit.load(str(path))

    def answer(samples: NDArray[Any]) -> NDArray[np.float32]:
        with torch.inference_mode():
            found: NDArray[np.float32] = loaded(torch.from_numpy(samples)).numpy()
        return found

    return answer


@contextmanager
def _deprecated() -> Iterator[None]:
    """TorchScript is deprecated, and asked for here by name; what a trace froze is found by our check."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=TracerWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        yield


_WAYS: Mapping[str, tuple[Callable[[Served, Tensor, Path, dict[str, str]], None], Callable[[Path], Answers]]] = {
    "onnx": (_write_onnx, _read_onnx),
    "torchscript": (_write_torchscript, _read_torchscript),
}
