"""optuna-dashboard over all studies of a project, for a person. Owns the server and its end; writes nothing: in the
browser a study can be looked at, and only its own search changes it.
"""

import contextlib
import json
import warnings
from collections.abc import Callable, Container, Iterator, Sequence
from socketserver import ThreadingMixIn
from typing import Any, NoReturn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from assay.errors import InputError
from assay.search.about import ABOUT
from assay.studies.shelf import Shelf
from assay.terminal import say

HOST = "127.0.0.1"  # studies are nobody else's business
FIRST_PORT = 8080  # optuna-dashboard's own
REFUSED = "studies can be looked at here, and changed by their search alone"
METRIC_NAMES = "study:metric_names"  # Optuna's attribute of a study: what its objectives are called


def serve_dashboard(shelf: Shelf, port: int | None = None) -> None:
    """Serve the studies on loopback until Ctrl-C.

    Raises:
        InputError: the port is taken.
    """
    with _server(port) as server:  # it listens from here, so once the link is said it answers
        from optuna_dashboard import wsgi

        server.set_app(_reading(wsgi(Looked(shelf))))
        say(f"The studies are at http://{HOST}:{server.server_port} (Ctrl-C ends it)")
        with contextlib.suppress(KeyboardInterrupt), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few trials its importance says little, and says so for each parameter
            server.serve_forever()


def _reading(app: Any) -> Any:
    """The application without what would change a study."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [json.dumps({"reason": REFUSED}).encode()]

    return answer


def _server(port: int | None) -> WSGIServer:
    """At the asked port; else at optuna-dashboard's own, or any where that is taken."""
    for candidate in (FIRST_PORT, 0) if port is None else (port,):
        with contextlib.suppress(OSError):
            return _Threads((HOST, candidate), _Quiet)
    raise InputError(f"--port: {port} is taken; name another, or none to take any free one.")


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """Without the look-up of the host's name, which may take seconds."""
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]
        self.setup_environ()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: who asked for what is of no interest."""


class Looked(BaseStorage):
    """All studies of a shelf as one store, to be read: each journal is a store of its own, and may be growing."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._names: list[str] = []  # a study's key here is its place
        self._opened: dict[int, tuple[BaseStorage, int]] = {}

    def get_all_studies(self) -> list[FrozenStudy]:
        names = self._shelf.names()
        self._names += [name for name in names if name not in self._names]
        return list(self._studies(names))

    def _studies(self, names: Sequence[str]) -> Iterator[FrozenStudy]:
        for key, name in enumerate(self._names):
            if name in names:
                with contextlib.suppress(InputError):  # a damaged one; `assay study ls` says so
                    directions, told = self.get_study_directions(key), self.get_study_user_attrs(key)
                    system = self.get_study_system_attrs(key)
                    yield FrozenStudy(name, None, told, system, key, directions=directions)

    def _at(self, study_id: int) -> tuple[BaseStorage, int]:
        if study_id not in self._opened:
            if not 0 <= study_id < len(self._names):
                raise KeyError(study_id)
            self._opened[study_id] = self._shelf.opened(self._names[study_id])
        return self._opened[study_id]

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._names.index(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._names[study_id]

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        store, key = self._at(study_id)
        return store.get_study_directions(key)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        store, key = self._at(study_id)
        return store.get_study_user_attrs(key)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        store, key = self._at(study_id)
        about = store.get_study_user_attrs(key).get(ABOUT)
        return store.get_study_system_attrs(key) | ({METRIC_NAMES: [about["metric"]]} if about else {})

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        store, key = self._at(study_id)
        return store.get_all_trials(key, deepcopy, states)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        raise KeyError(trial_id)  # asked for only to be changed

    def _refused(self, *_: Any, **__: Any) -> NoReturn:
        raise PermissionError(REFUSED)

    create_new_study = delete_study = set_study_user_attr = set_study_system_attr = _refused
    create_new_trial = set_trial_param = set_trial_state_values = set_trial_intermediate_value = _refused
    set_trial_user_attr = set_trial_system_attr = _refused
