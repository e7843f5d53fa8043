"""What a served champion answers, and what it refuses: every form of request, and a corpus of bad ones."""

import base64
import io
import json
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import judged
from assay.data.dataset import read_split
from assay.predict import Asked, answers, as_sample
from serving import Served

PNG = {"content-type": "image/png"}
TRAINED = judged.trained("classification")


@pytest.fixture(scope="module")
def digits(project: Path) -> np.ndarray:
    return np.array(read_split(project / "data", "test").parts[0].samples[:3])


@pytest.fixture(scope="module")
def pictures(digits: np.ndarray) -> list[bytes]:
    return [written(one[0], "PNG") for one in digits]


def written(array: np.ndarray, form: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, form)
    return stream.getvalue()


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def huge_png(side: int) -> bytes:
    """A whole PNG of side × side grey pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


class TestAnswers:
    def test_every_form_of_request_is_answered_alike(
        self, server: Served, pictures: list[bytes], digits: np.ndarray
    ) -> None:
        ways: dict[str, Any] = {
            "multipart": server.predict(
                files=[("any", (f"{n}.png", one, "image/png")) for n, one in enumerate(pictures)]
            ),
            "base64": server.predict(json={"samples": [text(one) for one in pictures]}),
            "a bare list": server.predict(json=[text(one) for one in pictures]),
            "arrays": server.predict(json=digits.tolist()),
            "arrays without the channel": server.predict(json=digits[:, 0].tolist()),
            "mixed": server.predict(json=[text(pictures[0]), *digits[1:].tolist()]),
        }
        found = {way: [without_name(one) for one in answer.json()["answers"]] for way, answer in ways.items()}
        for way, answer in ways.items():
            assert (answer.status_code, answer.json()["version"], answer.json()["model"]) == (200, 2, "assay"), way
            assert [one["said"] for one in found[way]] == [one["said"] for one in found["multipart"]], way
            for one, other in zip(found[way], found["multipart"], strict=True):
                assert one["probabilities"] == pytest.approx(other["probabilities"], abs=2e-6), way
        assert [one["name"] for one in ways["multipart"].json()["answers"]] == ["0.png", "1.png", "2.png"]
        for kind in ("image/png", "application/octet-stream", "IMAGE/PNG; a=b"):
            one = server.predict(data=pictures[0], headers={"content-type": kind}).json()["answers"][0]
            assert one["probabilities"] == pytest.approx(found["multipart"][0]["probabilities"], abs=2e-6)

    def test_what_is_said_is_the_model_s_and_how_surely_is_the_temperature_s(
        self, server: Served, digits: np.ndarray
    ) -> None:
        temperature = server.get("/ready").json()["temperature"]
        assert temperature != 1
        asked = (Asked("any", as_sample(one, TRAINED.about.spec)) for one in digits)
        for one, plain in zip(
            server.predict(json=digits.tolist()).json()["answers"], answers(TRAINED, asked), strict=True
        ):
            raised = plain.values.astype(np.float64) ** (1 / temperature)
            assert one["said"] == plain.said
            assert list(one["probabilities"].values()) == pytest.approx(list(raised / raised.sum()), abs=1e-4)

    def test_more_samples_than_a_batch_are_answered_in_their_order(self, server: Served, digits: np.ndarray) -> None:
        single = [one["said"] for one in server.predict(json=digits.tolist()).json()["answers"]]
        many = server.predict(json=digits.tolist() * 80).json()["answers"]
        assert [one["said"] for one in many] == single * 80

    def test_says_that_it_lives_and_by_which_version_it_answers(self, server: Served) -> None:
        assert server.get("/health").json() == {"alive": True}
        ready = server.get("/ready").json()
        assert (ready["model"], ready["version"], ready["trouble"]) == ("assay", 2, None)

    def test_counts_for_prometheus(self, server: Served, digits: np.ndarray) -> None:
        def figure(name: str) -> float:
            lines = server.get("/metrics").text.splitlines()
            return float(next((line.split()[-1] for line in lines if line.startswith(f"{name} ")), 0))

        before = {name: figure(name) for name in ("assay_samples_total", 'assay_requests_total{status="200"}')}
        server.predict(json=digits.tolist())
        assert figure("assay_samples_total") == before["assay_samples_total"] + 3
        assert figure('assay_requests_total{status="200"}') > before['assay_requests_total{status="200"}']
        assert figure("assay_model_version") == 2
        assert figure("assay_registry_seen_timestamp_seconds") > 1e9
        assert figure("assay_batch_samples_count") > 0 and figure("assay_request_seconds_count") > 0


def without_name(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "name"}


def stream(count: int) -> Iterator[bytes]:
    """So many megabytes, whose length no header tells."""
    for _ in range(count):
        yield bytes(1 << 20)


def a_form(*parts: str, end: str = "--b--\r\n") -> dict[str, Any]:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts) + end
    return {"data": body.encode(), "headers": {"content-type": "multipart/form-data; boundary=b"}}


JPEG = written(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), "JPEG")
JSON = {"content-type": "application/json"}
FILE = 'content-disposition: form-data; name="a"; filename="a.png"\r\n\r\nno picture'
CORPUS: dict[str, tuple[dict[str, Any], int, str]] = {
    "a JPEG that is cut short": ({"data": JPEG[: len(JPEG) // 2], "headers": PNG}, 422, "sample 1: cannot be read: "),
    "a PNG that is cut short": ({"data": huge_png(64)[:48], "headers": PNG}, 422, "sample 1: cannot be read: "),
    "a PNG of 40,000 × 40,000": ({"data": huge_png(40_000), "headers": PNG}, 422, "more than 40,000,000 pixels"),
    "text": ({"data": b"no picture at all", "headers": PNG}, 422, "it is not a picture of a known kind"),
    "nothing": ({"data": b"", "headers": PNG}, 400, "the request is empty"),
    "no content type": ({"data": b"abc"}, 415, "the request has no content type"),
    "a form of words": ({"data": {"a": "b"}}, 415, "the content type is 'application/x-www-form-urlencoded'"),
    "200 MB": ({"data": bytes(200_000_000), "headers": PNG}, 413, "more than 16,777,216 bytes"),
    "200 MB whose length is not told": ({"data": stream(200), "headers": PNG}, 413, "more than 16,777,216 bytes"),
    "half a JSON": ({"data": b'{"samples": [', "headers": JSON}, 400, "the request is no JSON"),
    "JSON that is no text": ({"data": b"\xff\xfe\x00", "headers": JSON}, 400, "the request is no JSON"),
    "JSON without an end of depth": ({"data": b"[" * 200_000, "headers": JSON}, 400, "is no JSON"),
    "a number": ({"json": 3}, 400, "neither a list of samples nor"),
    "another object": ({"json": {"pictures": []}}, 400, "neither a list of samples nor"),
    "no sample": ({"json": []}, 400, "the request holds no sample"),
    "a path that is base64 too": ({"json": ["/etc/hosts/a"]}, 422, "it is not a picture of a known kind"),
    "a path": ({"json": ["photo.png"]}, 422, "over HTTP no path is read"),
    "letters": ({"json": ["été"]}, 422, "its text is not base64"),
    "an array of another shape": ({"json": [[[1, 2], [3, 4]]]}, 422, "an array must be uint8 of shape 1 × 28 × 28"),
    "rows of unequal lengths": ({"json": [[[1, 2], [3]]]}, 422, "it is no array of numbers"),
    "numbers that are no pixels": ({"json": [[[300.5] * 28] * 28]}, 422, "an array must be uint8"),
    "numbers beyond all": ({"data": b"[[" + b"[1e999]," * 27 + b"[NaN]]]", "headers": JSON}, 422, "an array must be"),
    "an object as a sample": ({"json": [{"path": "/etc/hostname"}]}, 422, "it is no array of numbers"),
    "too many samples": ({"json": ["AA=="] * 257}, 413, "more than 256 samples"),
    "a form without boundary": ({"data": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "the form"),
    "a form that is no form": ({**a_form(), "data": b"garbage"}, 400, "the form"),
    "a form that is cut short": (a_form(FILE, end=""), 400, "the form is cut short"),
    "a form of a word": (a_form('content-disposition: form-data; name="a"\r\n\r\nb'), 400, "'a' is no file"),
    "a form of a text": (a_form(FILE), 422, "a.png: cannot be read: it is not a picture"),
    "a form of too many": (a_form(*[FILE] * 257), 413, "more than 256 samples"),
}


class TestRefusals:
    @pytest.mark.parametrize("name", CORPUS)
    def test_a_bad_request_is_a_sentence_and_the_server_lives(
        self, server: Served, name: str, pictures: list[bytes]
    ) -> None:
        request, status, says = CORPUS[name]
        answer = server.predict(**request)
        assert (answer.status_code, says in answer.json()["error"]) == (status, True), answer.text
        assert answer.json()["error"].endswith(".")
        assert server.predict(data=pictures[0], headers=PNG).status_code == 200

    def test_one_bad_sample_among_good_ones_refuses_the_request_by_name(
        self, server: Served, pictures: list[bytes]
    ) -> None:
        files = [("any", ("good.png", pictures[0])), ("any", ("bad.png", b"no picture"))]
        answer = server.predict(files=files)
        assert answer.status_code == 422
        assert answer.json()["error"] == "bad.png: cannot be read: it is not a picture of a known kind."

    def test_a_file_s_name_is_a_name_and_opens_nothing(self, server: Served, pictures: list[bytes]) -> None:
        answer = server.predict(files={"any": ("../../params.yaml", pictures[0])})
        assert answer.json()["answers"][0]["name"] == "../../params.yaml"

    @pytest.mark.parametrize("path, method", [("/", "get"), ("/predict", "get"), ("/ready", "post"), ("/docs", "get")])
    def test_what_is_not_there_says_what_is(self, server: Served, path: str, method: str) -> None:
        answer = getattr(server.session, method)(server.url + path)
        assert answer.status_code in (404, 405)
        assert "POST /predict, GET /health" in answer.json()["error"]

    def test_who_asks_before_sending_too_much_is_refused_before_it(self, server: Served) -> None:
        head = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 200000000\r\nexpect: 100-continue\r\n\r\n"
        with connected(server) as line:
            line.sendall(head)
            assert line.recv(1000).startswith(b"HTTP/1.1 413 ")

    def test_what_is_no_http_is_refused_and_the_server_lives(self, server: Served) -> None:
        with connected(server) as line:
            line.sendall(b"\x16\x03\x01 hello\r\n\r\n")
            assert line.recv(1000).startswith(b"HTTP/1.1 400 ")
        assert server.get("/health").status_code == 200

    def test_a_client_that_goes_away_costs_nothing(self, server: Served, pictures: list[bytes]) -> None:
        for _ in range(5):
            with connected(server) as line:
                line.sendall(
                    b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: image/png\r\ncontent-length: 99\r\n\r\nx"
                )
        assert server.predict(data=pictures[0], headers=PNG).status_code == 200
        assert json.loads(server.get("/health").text) == {"alive": True}


def connected(server: Served) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)
