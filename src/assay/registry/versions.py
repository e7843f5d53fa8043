"""Models in MLflow's registry: a version each, with what it is as tags, and the aliases that name the one in use. Owns
the calls; who may become champion is decided elsewhere.
"""

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assay.errors import InputError
from assay.registry.flavor import MODEL, TEMPERATURE
from assay.tracking.address import Address
from assay.tracking.store import MlflowStore, Refused, answered
from assay.tracking.writer import Outage

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.tracking import MlflowClient

CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"
IDENTITY = "assay.model"  # tag: the hash of the model's facts, so that one model is one version
FOLLOWED = "assay.decision"  # tag of the registered model: the decision that its aliases follow
FLAVOR, FOLDER = "assay.registry.flavor", "model"  # MLflow's folder in the artifacts of a version's run
PACK, SEEN, COLUMN = "pack", "seen.npz", "sample"

Result = TypeVar("Result")


@dataclass(frozen=True)
class Seen:
    """What a model has learnt from: keys of its samples, N × 16; and one sample, for who wants to try it."""

    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    example: NDArray[Any]


@dataclass(frozen=True)
class Version:
    """A registered model."""

    number: int
    tags: Mapping[str, str]

    @property
    def identity(self) -> str:
        """The hash of its facts; empty where another tool registered it."""
        return self.tags.get(IDENTITY, "")


class Versions:
    """The registered model `name` in the store at `address`."""

    def __init__(self, address: Address, root: Path, name: str) -> None:
        """Open the store.

        Raises:
            InputError: it does not answer.
        """
        self.name, self._address = name, address
        self._store = MlflowStore(address, root / ".assay" / "mlflow.lock")
        with self._answered():
            self._store.open()

    @property
    def _client(self) -> "MlflowClient":
        return self._store.client

    def all(self) -> list[Version]:
        """Every version, oldest first."""
        found = self._ask(lambda: list(self._client.search_model_versions(f"name = '{self.name}'", max_results=10_000)))
        return sorted(map(_version, found), key=lambda one: one.number)

    def get(self, number: int) -> Version:
        """One version.

        Raises:
            InputError: there is none of this number.
        """
        found = {one.number: one for one in self.all()}
        if number not in found:
            known = ", ".join(map(str, found)) or "none"
            raise InputError(f"{self.name} has no version {number}; there are: {known}.")
        return found[number]

    def register(
        self, folder: Path, identity: str, seen: Seen, tags: Mapping[str, str], temperature: Callable[[], float]
    ) -> Version:
        """The model in `folder` as a version: the one that it is already, or a new one.

        Args:
            identity: the hash of its facts.
            seen: what it has learnt from.
            temperature: of its probabilities; asked for only where the version is new.
        """
        known = next((one for one in self.all() if one.identity == identity), None)
        if known is not None:
            return known
        with self._answered(), tempfile.TemporaryDirectory() as place:
            packed = _pack(folder, seen, temperature(), Path(place))
            with suppress(Refused):  # it is there
                answered(partial(self._client.create_registered_model, self.name))
            told = dict(tags) | {"assay.kind": "version", IDENTITY: identity}
            run = answered(
                partial(
                    self._client.create_run, str(self._store.experiment), tags=told, run_name=f"{self.name} version"
                )
            )
            answered(partial(self._client.set_terminated, run.info.run_id))  # at once: a kill must not leave it RUNNING
            answered(partial(self._client.log_artifacts, run.info.run_id, str(packed), FOLDER))
            source = f"runs:/{run.info.run_id}/{FOLDER}"
            made = answered(partial(self._client.create_model_version, self.name, source, run.info.run_id, tags=told))
        return _version(made)

    @contextmanager
    def fetched(self, number: int) -> Iterator[Path]:
        """A version's folder on this machine, while the block lasts: its `MODEL`, `TEMPERATURE` and `SEEN`."""
        from mlflow.artifacts import download_artifacts

        version = self._ask(lambda: self._client.get_model_version(self.name, str(number)))
        with tempfile.TemporaryDirectory() as place:
            fetch = partial(
                download_artifacts,
                run_id=version.run_id,
                artifact_path=FOLDER,
                dst_path=place,
                tracking_uri=self._address.uri,
            )
            yield Path(self._ask(fetch)) / "data" / PACK

    def aliases(self) -> dict[str, int]:
        """The versions that have a name."""
        model = self._model()
        return {} if model is None else {alias: int(version) for alias, version in model.aliases.items()}

    def name_as(self, alias: str, number: int | None) -> None:
        """Let an alias name a version, or nothing."""
        if number is None:
            self._ask(lambda: self._client.delete_registered_model_alias(self.name, alias))
        else:
            self._ask(lambda: self._client.set_registered_model_alias(self.name, alias, str(number)))

    def tag(self, number: int, tags: Mapping[str, str]) -> None:
        """Add tags to a version."""
        for name, value in tags.items():
            self._ask(partial(self._client.set_model_version_tag, self.name, str(number), name, value))

    def followed(self) -> int | None:
        """The decision that the aliases follow."""
        model = self._model()
        return None if model is None or FOLLOWED not in model.tags else int(model.tags[FOLLOWED])

    def follow(self, decision: int) -> None:
        """Say that the aliases follow this decision."""
        if self.followed() != decision:
            set_tag = self._client.set_registered_model_tag
            self._ask(lambda: set_tag(self.name, FOLLOWED, str(decision)))

    def _model(self) -> "RegisteredModel | None":
        """None where nothing was registered yet."""
        with self._answered(), suppress(Refused):
            return answered(lambda: self._client.get_registered_model(self.name))
        return None

    def _ask(self, question: Callable[[], Result]) -> Result:
        with self._answered():
            return answered(question)

    @contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            with warnings.catch_warnings():  # of MLflow, of what it uses itself
                warnings.simplefilter("ignore")
                yield
        except (Outage, Refused) as error:
            raise InputError(f"MLflow's registry at {self._address.shown} did not do as asked ({error}).") from error


def _version(found: "ModelVersion") -> Version:
    return Version(int(found.version), dict(found.tags))


def read_seen(folder: Path) -> Seen:
    """What the version in this folder has learnt from.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with np.load(folder / SEEN, allow_pickle=False) as kept:
            return Seen(kept["train"], kept["validation"], kept["example"])
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"{SEEN} of the registered model is missing or damaged ({error}).") from error


def _pack(folder: Path, seen: Seen, temperature: float, place: Path) -> Path:
    """Write MLflow's folder around the model's: no code, no pickle; its loader is `FLAVOR`."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    shutil.copytree(folder, place / PACK / MODEL)
    np.savez(place / PACK / SEEN, train=seen.train, validation=seen.validation, example=seen.example)
    (place / PACK / TEMPERATURE).write_text(json.dumps({"temperature": temperature}) + "\n")
    mlflow.pyfunc.save_model(
        place / FOLDER,
        loader_module=FLAVOR,
        data_path=str(place / PACK),
        signature=ModelSignature(inputs=Schema([ColSpec(AnyType())])),  # type: ignore[no-untyped-call]
        pip_requirements=["assay"],
        input_example=pd.DataFrame({COLUMN: [seen.example.tolist()]}),
    )
    return place / FOLDER
