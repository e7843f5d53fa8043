"""A champion that changes under load: no request fails, each is answered by one version, and by the one it names."""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from assay.championship import Championship
from assay.data.dataset import read_split
from contests import PARAMS
from serving import Served
from waits import until

CLIENTS = 4


@dataclass
class Load:
    """Clients that ask without a pause, and all they heard."""

    server: Served
    digits: list[object]
    heard: list[tuple[int, str]] = field(default_factory=list)  # status, text
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for one in self._threads:
            one.join()

    def _ask(self, number: int) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while not self.stop.is_set():
                answer = session.post(f"{self.server.url}/predict", json=self.digits[: number + 1], timeout=60)
                self.heard.append((answer.status_code, answer.text))


def test_a_promotion_and_a_rollback_under_load_lose_no_request(server: Served, project: Path) -> None:
    digits = [one.tolist() for one in read_split(project / "data", "test").parts[0].samples[:CLIENTS]]
    plain = {2: answered(server, digits)}
    with Load(server, digits) as load, Championship(PARAMS, project) as house:
        until(lambda: len(load.heard) > 20, "answers before")
        house.promote(1, "to see what happens")
        until(lambda: server.get("/ready").json()["version"] == 1, "the promoted version")
        plain[1] = answered(server, digits)
        house.rollback("it was worse")
        until(lambda: server.get("/ready").json()["version"] == 2, "the version before")
        until(lambda: version_of(load.heard[-1][1]) == 2, "answers after")
    assert {status for status, _ in load.heard} == {200}
    assert plain[1] != plain[2]
    assert {1, 2} <= {version_of(text) for _, text in load.heard}
    for _, text in load.heard:
        version, found = read(text)
        for one, other in zip(found, plain[version], strict=False):  # of a client that asks for fewer
            assert one == pytest.approx(other, abs=2e-6), f"an answer in the name of version {version} is not its"
    assert "version 1 answers from now on, and no longer 2." in server.said


def answered(server: Served, digits: list[object]) -> list[list[float]]:
    return read(server.predict(json=digits).text)[1]


def read(text: str) -> tuple[int, list[list[float]]]:
    found = json.loads(text)
    return found["version"], [list(one["probabilities"].values()) for one in found["answers"]]


def version_of(text: str) -> int:
    return read(text)[0]
