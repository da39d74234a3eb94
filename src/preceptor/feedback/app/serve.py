"""Serving the app with uvicorn: one process, one event loop, threads for the database."""

import signal
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import uvicorn

from preceptor.feedback.app.first import first_invitation, first_texts
from preceptor.feedback.app.server import create_app
from preceptor.feedback.app.settings import AppSettings
from preceptor.feedback.store import Store, open_store
from preceptor.web.connection import Connection
from preceptor.web.place import KEEP_ALIVE_SECONDS, SHUTDOWN_SECONDS, Place, address, hosts


def serve(database: str | Path, place: Place, say: Callable[[str], None] = print) -> None:
    """Serve until interrupted. A store that is not there is made; ``say`` is told where to go."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager's stop is as orderly as Ctrl-C
    with closing(open_store(database)) as store, place.open() as listener:
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
            http=Connection,
            ws="none",
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
