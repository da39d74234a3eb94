"""Serving the app with uvicorn: one process, one event loop, threads for the database."""

import signal
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from preceptor.errors import InputError
from preceptor.feedback.app.first import first_invitation, first_texts
from preceptor.feedback.app.server import create_app
from preceptor.feedback.app.settings import AppSettings
from preceptor.feedback.store import Store, open_store
from preceptor.web.listen import listen

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
KEEP_ALIVE_SECONDS = 65
SHUTDOWN_SECONDS = 10


@dataclass(frozen=True)
class Place:
    """Where to listen, and who stands before it."""

    host: str = "127.0.0.1"
    port: int = 8000
    allow_hosts: tuple[str, ...] = ()  # further names that the server answers to
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False  # a proxy on this machine says by X-Forwarded headers who asks, and whether by https


def serve(database: str | Path, place: Place, say: Callable[[str], None] = print) -> None:
    """Serve until interrupted. A store that is not there is made; ``say`` is told where to go."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager's stop is as orderly as Ctrl-C
    with closing(open_store(database)) as store, _listening(place) as listener:
        first_texts(store)
        token = first_invitation(store)
        url = address(place, listener.getsockname()[1])
        if token is not None:
            say(f"there is no admin yet: come in by {url}/join#{token} (once, within a day)")
        say(f"labeling at {url} (database {store.name}); stop with Ctrl-C")
        server = uvicorn_server(store, place)
        with suppress(KeyboardInterrupt):  # uvicorn has finished what was begun, and raises the signal again
            server.run(sockets=[listener])
    say("stopped")


def uvicorn_server(store: Store, place: Place, settings: AppSettings | None = None) -> uvicorn.Server:
    """The server, not yet started."""
    settings = settings or AppSettings(hosts=hosts(place))
    return uvicorn.Server(
        uvicorn.Config(
            create_app(store, settings),
            log_level="warning",
            access_log=False,  # paths hold ids of tasks
            server_header=False,
            proxy_headers=place.behind_proxy,
            forwarded_allow_ips="127.0.0.1,::1" if place.behind_proxy else None,
            limit_concurrency=2 * settings.requests_at_once,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            ssl_certfile=place.tls_certificate,
            ssl_keyfile=place.tls_key,
        )
    )


def hosts(place: Place) -> tuple[str, ...]:
    """The names to answer to. On loopback only its own, or a page from elsewhere could rebind its name to it."""
    if place.host in ("127.0.0.1", "localhost", "::1"):
        return (*LOOPBACK, *place.allow_hosts)
    return (place.host, *place.allow_hosts) if place.allow_hosts else ()


def address(place: Place, port: int) -> str:
    """What to type into a browser on this machine."""
    scheme = "https" if place.tls_certificate is not None else "http"
    host = "localhost" if place.host in ("0.0.0.0", "::") else place.host
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _listening(place: Place) -> socket.socket:
    """The socket, bound before anything is said of it."""
    if (place.tls_certificate is None) != (place.tls_key is None):
        raise InputError("--tls-cert and --tls-key go together; give both")
    for path in (place.tls_certificate, place.tls_key):
        if path is not None and not path.is_file():
            raise InputError(f"{path}: no such file; check the path")
    return listen(place.host, place.port)
