"""Who is let in, how long a request may take, how many at once, and how a server begins and ends."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import judged
from assay.errors import InputError
from assay.serve import listening, read_token
from assay.serve.app import Service, application
from assay.serve.champion import Served as Version
from assay.usage import Serve
from serving import PROGRAM, Served, serving
from waits import until

TOKEN = "a long random word"
BEARER = {"authorization": f"Bearer {TOKEN}"}
STRICT = "{poll_s: 0.1, timeout_s: 1, max_requests: 2, max_bytes: 100000}"
DIGIT = np.zeros((28, 28), dtype=np.uint8).tolist()


@pytest.fixture(scope="module")
def strict(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of the same registry that asks for a token and has little patience."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "params.yaml").write_text(f"tracking: {{uri: 'sqlite:///{project}/mlruns/mlflow.db'}}\nserve: {STRICT}\n")
    with serving(folder, ASSAY_SERVE_TOKEN=TOKEN) as served:
        # It hangs up on a connection that was idle for a second, be it in the moment in which the next request comes.
        served.session.headers["connection"] = "close"
        yield served


@contextlib.contextmanager
def half_a_request(server: Served, body: bytes, token: str = TOKEN) -> Iterator[socket.socket]:
    """A client that has sent its head and the first half of its body."""
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST /predict HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as line:
        line.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
        yield line


def heard(line: socket.socket) -> bytes:
    return b"".join(iter(lambda: line.recv(65536), b""))


class TestToken:
    @pytest.mark.parametrize("header", [None, "Bearer wrong", TOKEN, f"Bearer {TOKEN} ", "Bearer é"])
    def test_who_does_not_bear_it_is_refused(self, strict: Served, header: str | None) -> None:
        given = {} if header is None else {"authorization": header.encode()}
        for answer in (strict.predict(json=[DIGIT], headers=given), strict.get("/metrics", headers=given)):
            if header == f"Bearer {TOKEN} ":  # HTTP takes spaces round a value away
                assert answer.status_code == 200
            else:
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert "the token is missing or wrong" in answer.json()["error"]

    def test_who_bears_it_is_answered_and_probes_need_none(self, strict: Served) -> None:
        assert strict.predict(json=[DIGIT], headers=BEARER).status_code == 200
        assert strict.get("/health").status_code == strict.get("/ready").status_code == 200

    def test_an_empty_one_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ASSAY_SERVE_TOKEN", " ")
        with pytest.raises(InputError, match="ASSAY_SERVE_TOKEN is set and empty"):
            read_token()
        monkeypatch.delenv("ASSAY_SERVE_TOKEN")
        assert read_token() is None


class TestPatience:
    def test_a_client_that_stops_sending_is_given_up(self, strict: Served) -> None:
        with half_a_request(strict, json.dumps([DIGIT]).encode()) as line:
            said = heard(line)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"the request did not arrive within 1 s." in said

    @pytest.mark.parametrize("first", [b"", b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n"], ids=["first", "later"])
    def test_a_client_that_stops_in_the_head_of_a_request_is_hung_up_on(self, strict: Served, first: bytes) -> None:
        host, port = strict.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as line:
            line.sendall(first + b"GET /health HTTP/1.1\r\nhost:")
            said = heard(line)
        assert said.count(b"HTTP/1.1 200 ") == bool(first)
        assert strict.predict(json=[DIGIT], headers=BEARER).status_code == 200

    def test_more_at_once_than_allowed_are_asked_to_come_again(self, strict: Served) -> None:
        answer = until(lambda: one_too_many(strict), "a server with no place left")
        assert answer["error"] == "2 requests are under way; ask again in a moment."
        assert strict.predict(json=[DIGIT], headers=BEARER).status_code == 200

    def test_what_takes_the_model_too_long_is_given_up_and_the_next_is_answered(self) -> None:
        slow = Slow()
        with service(slow, Serve(timeout_s=0.3)) as app:
            status, told = ask(app, [DIGIT])
            assert (status, told["error"]) == (503, "no answer within 0.3 s; ask again, or for less.")
            slow.goes_on.set()
            assert until(lambda: ask(app, [DIGIT])[0] == 200, "the next answer")

    def test_a_model_that_breaks_is_our_mistake_and_the_next_request_is_answered(self) -> None:
        broken = Slow()
        broken.goes_on.set()
        broken.breaks = True
        with service(broken, Serve()) as app:
            with pytest.raises(RuntimeError, match="broken"):  # for the log of the server
                ask(app, [DIGIT])
            broken.breaks = False
            assert ask(app, [DIGIT])[0] == 200


def one_too_many(server: Served) -> dict[str, Any] | None:
    """What is answered beside two requests that do not end; None where they were not the two that were under way."""
    body = json.dumps([DIGIT]).encode()
    with half_a_request(server, body) as one, half_a_request(server, body) as two:
        answer = server.predict(json=[DIGIT], headers=BEARER)
        if answer.status_code != 503 or not heard(one)[:13] == heard(two)[:13] == b"HTTP/1.1 408 ":
            return None
        return dict(answer.json())


class Slow(nn.Module):
    """A network that waits until it may go on, and breaks where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on, self.breaks = threading.Event(), False

    def forward(self, x: torch.Tensor, _length: torch.Tensor) -> torch.Tensor:
        self.goes_on.wait()
        if self.breaks:
            raise RuntimeError("broken")
        return torch.zeros(len(x), 10)


class Standing:
    """A champion that nobody follows."""

    def __init__(self, model: nn.Module) -> None:
        trained = judged.Trained(model, *list(vars(judged.trained("classification")).values())[1:])
        self.served = Version("assay", 1, trained, 1.0, torch.device("cpu"))
        self.looked, self.trouble = 0.0, None


@contextlib.contextmanager
def service(model: nn.Module, how: Serve) -> Iterator[Any]:
    found = Service(Standing(model), how, None)  # type: ignore[arg-type]
    try:
        yield application(found)
    finally:
        found.close()


def ask(app: Any, samples: list[Any]) -> tuple[int, dict[str, Any]]:
    """One request to an application without a server."""
    sent: list[dict[str, Any]] = []
    body = json.dumps(samples).encode()
    scope = {"type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict", "query_string": b""}
    scope |= {"headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http"}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(b"".join(one.get("body", b"") for one in sent))


class TestBeginning:
    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])
    def test_an_address_that_others_reach_needs_a_token(self, host: str) -> None:
        with pytest.raises(InputError, match=r"serve\.host is .*, which others can reach; set the token"):
            listening(Serve(host=host, port=0), None).__enter__()
        with contextlib.suppress(InputError), listening(Serve(host=host, port=0), TOKEN):  # or there is no IPv6 here
            pass

    def test_a_port_that_is_taken_is_a_sentence(self) -> None:
        with listening(Serve(port=0), None) as found:
            port = found.getsockname()[1]
            with pytest.raises(
                InputError,
                match=rf"serve\.port: 127\.0\.0\.1 port {port} cannot be used \(Address already in use\); name",
            ):
                listening(Serve(port=port), None).__enter__()

    def test_the_end_of_an_answer_does_not_wait_for_the_clients_acknowledgement(self) -> None:
        with (
            listening(Serve(port=0), None) as found,
            socket.create_connection(found.getsockname()),
            found.accept()[0] as accepted,
        ):
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_a_host_that_is_none_is_a_sentence(self) -> None:
        with pytest.raises(InputError, match=r"serve\.host is 'no\.such\.host\.invalid', which is no address"):
            listening(Serve(host="no.such.host.invalid"), None).__enter__()

    def test_without_a_champion_it_ends_with_a_sentence(self, folder: Path) -> None:
        (folder / "params.yaml").write_text("serve: {port: 0}\n")
        ended = subprocess.run([sys.executable, "-c", PROGRAM, "serve"], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == "assay has no champion; `assay challenge` makes the trained model the first.\n"


class TestEnd:
    @pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_quietly_and_what_is_under_way_is_answered(
        self, project: Path, sign: signal.Signals
    ) -> None:
        body = json.dumps([DIGIT]).encode()
        with serving(project) as server, half_a_request(server, body) as line:
            until(
                lambda: 'assay_requests_total{status="200"}' in server.get("/metrics").text, "that it has read the half"
            )
            server.process.send_signal(sign)
            until(lambda: not accepts(server), "a closed door")
            line.sendall(body[len(body) // 2 :])
            assert heard(line).startswith(b"HTTP/1.1 200 ")
            assert server.process.wait(60) == 0
            assert len(server.said.splitlines()) == 1  # its address, and nothing behind it


def accepts(server: Served) -> bool:
    host, port = server.url.removeprefix("http://").split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=60):
        return True
    return False
