"""The champion over HTTP: `assay serve`. Owns the server's start and end; the routes are app.py's, who answers
champion.py's, how requests are computed together batches.py's.
"""

import asyncio
import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from assay.errors import InputError
from assay.params import Params
from assay.registry.versions import Versions
from assay.serve.app import Service, application
from assay.serve.champion import Champion
from assay.serve.patience import patient
from assay.serve.pixels import limited
from assay.terminal import say
from assay.tracking.address import make_place, reach, resolve
from assay.usage import Serve

TOKEN = "ASSAY_SERVE_TOKEN"  # the name of the variable that holds it
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(params: Params, root: Path) -> None:
    """Serve the champion until Ctrl-C or SIGTERM; requests under way are answered.

    Raises:
        InputError: there is no champion, the registry does not answer, the port is taken, or the address is open to
            others and no token is set.
    """
    with listening(params.serve, token := read_token()) as found:
        address = resolve(params.tracking, root)
        reach(address)
        make_place(address)
        champion = Champion(Versions(address, root, params.promote.model), params.serve.poll_s)
        champion.watch()
        try:
            host, port = found.getsockname()[:2]
            shown = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            say(f"{champion.served.name} version {champion.served.number} answers at {shown} (Ctrl-C ends it)")
            answer(champion, params.serve, token, found)
        finally:
            champion.close()


def answer(champion: Champion, how: Serve, token: str | None, found: socket.socket) -> None:
    """Answer at a socket until a signal comes."""
    service = Service(champion, how, token)
    try:
        config = uvicorn.Config(
            application(service),
            lifespan="off",
            http=patient(how.timeout_s),
            log_level="warning",
            access_log=False,
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=int(how.timeout_s) + 1,
        )
        with limited(how.max_pixels):
            asyncio.run(_Server(config).serve(sockets=[found]))
    finally:
        service.close()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but a signal that ended it quietly is not raised once more behind it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {sign: signal.signal(sign, self.handle_exit) for sign in SIGNALS}
        try:
            yield
        finally:
            for sign, did in before.items():
                signal.signal(sign, did)


def read_token() -> str | None:
    """The token that clients must bear; None: they need none.

    Raises:
        InputError: it is empty.
    """
    token = os.environ.get(TOKEN)
    if token is not None and not token.strip():
        raise InputError(f"{TOKEN} is set and empty; give it a long random word, or unset it.")
    return token


@contextmanager
def listening(how: Serve, token: str | None) -> Iterator[socket.socket]:
    """A socket at `serve.host` and `serve.port`, before anything slow begins.

    Raises:
        InputError: the address cannot be used, or others reach it and no token is set.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(how.host, how.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(
            f"serve.host is {how.host!r}, which is no address of this machine ({error.strerror})."
        ) from error
    if token is None and not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback:
        raise InputError(
            f"serve.host is {how.host!r}, which others can reach; set the token that they must bear in {TOKEN}, or use "
            "127.0.0.1."
        )
    try:
        found = socket.create_server((str(place[0]), how.port), family=family)
    except OSError as error:
        raise InputError(
            f"serve.port: {how.host} port {how.port} cannot be used ({os.strerror(error.errno or 0)}); name another."
        ) from error
    with found:
        # Accepted sockets inherit it. asyncio sets it only where a socket names its protocol, and these do not: an
        # answer's body would wait for the client's delayed acknowledgement of its head, 40 ms.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield found
