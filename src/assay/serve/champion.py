"""The model that answers: the champion of the registry, and whoever follows it while the server runs. Owns when it is
looked for and how one takes the other's place; decides nobody's championship.
"""

import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from assay.device import resolve_device
from assay.errors import InputError
from assay.modality import Sample
from assay.outputs import outputs_of, probabilities
from assay.registry.flavor import MODEL, read_temperature
from assay.registry.versions import CHAMPION, Versions, read_seen
from assay.terminal import note

if TYPE_CHECKING:
    from assay.model_files import Trained

LONGEST_S = 60.0  # between two looks at a registry that is away, or that holds what cannot be used


@dataclass(frozen=True, eq=False)
class Served:
    """A version that is ready to answer; requests that began with it end with it."""

    name: str
    number: int
    trained: "Trained"
    temperature: float
    device: torch.device

    def values(self, samples: list[Sample]) -> NDArray[np.float32]:
        """N × K: calibrated probabilities, or values of regression."""
        arrays = np.stack([one.array for one in samples])
        lengths = np.array([one.length for one in samples], dtype=np.int32)
        outputs = outputs_of(self.trained.model, arrays, lengths, self.device)
        return probabilities(self.trained.about.task, outputs / self.temperature)


class Champion:
    """Who is champion now. `watch` begins to look again and again, `close` ends it."""

    def __init__(self, versions: Versions, poll_s: float) -> None:
        """Load the champion.

        Raises:
            InputError: there is none, or the registry or the model cannot be read.
        """
        self._versions, self._poll_s = versions, poll_s
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="champion", daemon=True)
        self.trouble: str | None = None  # why the last look failed
        self.served = self._loaded(self._named())
        self.looked = time.time()  # of the last look that did not fail

    def watch(self) -> None:
        """Look in a thread of its own from now on."""
        self._thread.start()

    def close(self) -> None:
        """End it; a look that is under way is not waited for."""
        self._ends.set()

    def look(self) -> None:
        """Look once: another champion takes the place of this one when it is ready to answer, and not before.

        Raises:
            InputError: the registry or the model cannot be read; the present one goes on.
        """
        number = self._named()
        if number != self.served.number:
            before, self.served = self.served, self._loaded(number)
            note(f"{self._versions.name}: version {number} answers from now on, and no longer {before.number}.")
        self.looked, self.trouble = time.time(), None

    def _watch(self) -> None:
        pause = self._poll_s
        while not self._ends.wait(pause):
            try:
                self.look()
                pause = self._poll_s
            except Exception as error:  # noqa: BLE001  whatever it is, the present model goes on answering
                pause = max(self._poll_s, min(2 * pause, LONGEST_S))
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        said = " ".join(error.sentences) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        if said != self.trouble:
            self.trouble = said
            note(f"version {self.served.number} goes on: {said}")
            if not isinstance(error, InputError):
                traceback.print_exception(error)

    def _named(self) -> int:
        number = self._versions.aliases().get(CHAMPION)
        if number is None:
            raise InputError(
                f"{self._versions.name} has no champion; `assay challenge` makes the trained model the first."
            )
        return number

    def _loaded(self, number: int) -> Served:
        """The version, after its first answer: that takes longer than all others."""
        from assay.model_files import load_model

        with self._versions.fetched(number) as folder:
            trained, temperature, seen = load_model(folder / MODEL), read_temperature(folder), read_seen(folder)
        served = Served(self._versions.name, number, trained, temperature, resolve_device(None))
        served.values([Sample(seen.example, seen.example.shape[-1], seen.example.shape)])
        return served
