"""The routes of a served champion, and what they refuse. Owns statuses, limits and the form of an answer; how samples
are read, computed and counted is the other files' of this room.

A request is answered as a whole or not at all: one sample that cannot be read refuses it, and the sentence names it.
"""

import asyncio
import hmac
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assay.modality import Sample
from assay.predict import Answer, as_json, decode, in_a_word
from assay.serve.batches import Batches
from assay.serve.champion import Champion, Served
from assay.serve.content import asked_of, wrong
from assay.serve.metrics import CONTENT_TYPE, Metrics
from assay.serve.refusal import Refusal
from assay.usage import Serve

GONE = 499  # nginx's word for a client that did not wait for its answer
HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 408: {"Connection": "close"}}  # of whom no more of a body is read
OURS = "this is a mistake of the server; its log says more."


class Service:
    """What the routes do. Give it back with `close`."""

    def __init__(self, champion: Champion, how: Serve, token: str | None) -> None:
        self._champion, self._how, self._token = champion, how, token
        self.metrics = Metrics(champion)
        self._under_way = self._arrived = 0  # requests, and those of them whose body is here
        self._batches = Batches(how.batch, how.wait_ms / 1000, lambda: self._arrived, self.metrics.batched)
        self._pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))  # decoders let go of the interpreter's lock

    def close(self) -> None:
        """Compute what waits, and end."""
        self._batches.close()
        self._pool.shutdown(cancel_futures=True)

    async def health(self, _: Request) -> Response:
        """The process lives."""
        return _json(200, {"alive": True})

    async def ready(self, _: Request) -> Response:
        """It can answer, by which version, and how it stands with the registry."""
        served, seen_s = self._champion.served, time.time() - self._champion.looked
        told = {"model": served.name, "version": served.number, "temperature": served.temperature}
        return _json(200, told | {"registry_seen_s": round(seen_s, 1), "trouble": self._champion.trouble})

    async def told(self, request: Request) -> Response:
        """Figures for Prometheus."""
        self._admit(request)
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)

    async def predict(self, request: Request) -> Response:
        """Answer for the samples of a request."""
        self._admit(request)
        with self._one_more():
            deadline = asyncio.get_running_loop().time() + self._how.timeout_s
            body = await self._body(request, deadline)
            self._arrived += 1
            try:
                async with asyncio.timeout_at(deadline):
                    return _json(200, await self._answered(request.headers.get("content-type", ""), body))
            except TimeoutError as error:
                raise Refusal(503, f"no answer within {self._how.timeout_s:g} s; ask again, or for less.") from error
            finally:
                self._arrived -= 1

    def _admit(self, request: Request) -> None:
        """Refuse who does not bear the token, where there is one."""
        if self._token is not None:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                raise Refusal(401, "the token is missing or wrong; it belongs into `Authorization: Bearer …`.")

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        """Around a request, of which no more than a few may hold memory at once."""
        if self._under_way >= self._how.max_requests:
            raise Refusal(503, f"{self._under_way} requests are under way; ask again in a moment.")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    async def _body(self, request: Request, deadline: float) -> bytes:
        try:
            async with asyncio.timeout_at(deadline):
                return await _body(request, self._how.max_bytes)
        except TimeoutError as error:
            raise Refusal(408, f"the request did not arrive within {self._how.timeout_s:g} s.") from error

    async def _answered(self, kind: str, body: bytes) -> dict[str, Any]:
        """By the version that is champion now, whoever comes meanwhile."""
        served, loop = self._champion.served, asyncio.get_running_loop()
        names, samples = await loop.run_in_executor(self._pool, _read, served, kind, body, self._how.max_samples)
        values = await asyncio.wrap_future(self._batches.values(served, samples))
        about = served.trained.about
        found = [
            Answer(name, in_a_word(served.trained, one), one, None) for name, one in zip(names, values, strict=True)
        ]
        return {"model": served.name, "version": served.number, "answers": [as_json(about, one) for one in found]}


def application(service: Service) -> ASGIApp:
    """The routes of `service`, counted."""
    routes: list[BaseRoute] = [
        Route("/predict", service.predict, methods=["POST"]),
        Route("/health", service.health),
        Route("/ready", service.ready),
        Route("/metrics", service.told),
    ]
    refused: dict[int | type[Exception], Any] = {
        Refusal: _refused,
        HTTPException: _unknown,
        ClientDisconnect: _gone,
        Exception: _failed,
    }
    # Its pages of documentation would load their scripts from a network.
    return _Counted(FastAPI(routes=routes, exception_handlers=refused, openapi_url=None), service.metrics)


class _Counted:
    """Around an application: each request's status and seconds."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 500

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            self._metrics.answered(status, time.perf_counter() - began)


async def _body(request: Request, most: int) -> bytes:
    """All of it; where it is too long it is read to its end and thrown away, since who is still sending hears nothing.

    Raises:
        Refusal: it is too long.
    """
    waits = request.headers.get("expect", "").lower() == "100-continue"
    if waits and int(request.headers.get("content-length", 0)) > most:
        raise _too_long(most)
    parts, count = [], 0
    async for part in request.stream():
        count += len(part)
        parts.append(part) if count <= most else parts.clear()
    if count > most:
        raise _too_long(most)
    return b"".join(parts)


def _too_long(most: int) -> Refusal:
    return Refusal(413, f"the request has more than {most:,} bytes; serve.max_bytes allows no more.")


def _read(served: Served, kind: str, body: bytes, most: int) -> tuple[list[str], list[Sample]]:
    """Names and decoded samples of a request, in a thread.

    Raises:
        Refusal: one of them cannot be read.
    """
    about = served.trained.about
    asked = asked_of(kind, body, most, about.spec)
    read = [decode(one.content, about.spec, served.trained.data) for one in asked]
    if (why := wrong(asked, read)) is not None:
        raise Refusal(422, why)
    return [one.name for one in asked], [one for one in read if isinstance(one, Sample)]


def _json(status: int, told: Any, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(told, ensure_ascii=False, allow_nan=False)
    return Response(text.encode(errors="replace"), status, headers, "application/json")


async def _refused(_: Request, error: Any) -> Response:
    return _json(error.status, {"error": error.sentence}, HEADERS.get(error.status))


async def _unknown(request: Request, error: Any) -> Response:
    where = f"{request.method} {request.url.path[:80]}"
    known = "POST /predict, GET /health, GET /ready and GET /metrics"
    return _json(error.status_code, {"error": f"{where} is nothing here; there are {known}."})


async def _gone(_: Request, __: Any) -> Response:
    return Response(status_code=GONE)


async def _failed(_: Request, __: Any) -> Response:
    return _json(500, {"error": OURS})
