"""Receivers of notices: a real server on loopback that does what it is told to, and keeps what it got."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HANGS, CLOSES = 0, -1  # instead of a status


@dataclass
class Receiver:
    """Answers with `answers` in turn, and with 200 after them."""

    answers: list[int] = field(default_factory=list)
    moved_to: str = ""
    got: list[tuple[dict[str, Any], bytes, Message]] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    address: str = ""

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event, _, _ in self.got]


@contextlib.contextmanager
def receiver(*answers: int, port: int = 0) -> Iterator[Receiver]:
    """One that listens until the block ends."""
    state = Receiver(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.got.append((json.loads(body), body, self.headers))
            answer = state.answers.pop(0) if state.answers else 200
            if answer == HANGS:
                state.go_on.wait()
            if answer in (HANGS, CLOSES):
                self.close_connection = True
                return
            self.send_response(answer)
            if state.moved_to:
                self.send_header("Location", state.moved_to)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_address[1]}/hook?key=hidden"
    try:
        yield state
    finally:
        state.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
