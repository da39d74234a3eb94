"""Where a server listens and what it is called: the options of the verbs that serve, and what follows from them."""

import argparse
import socket
from dataclasses import dataclass
from pathlib import Path

from preceptor.errors import InputError
from preceptor.web.listen import check_port, listen

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
KEEP_ALIVE_SECONDS = 65  # a little above the minute for which proxies keep a connection
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

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("127.0.0.1", "localhost", "::1")

    def open(self) -> socket.socket:
        """The socket, bound before anything is said of it."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise InputError("--tls-cert and --tls-key go together; give both")
        for path in (self.tls_certificate, self.tls_key):
            if path is not None and not path.is_file():
                raise InputError(f"{path}: no such file; check the path")
        return listen(self.host, self.port)


def hosts(place: Place) -> tuple[str, ...]:
    """The names to answer to. On loopback only its own, or a page from elsewhere could rebind its name to it."""
    if place.is_loopback:
        return (*LOOPBACK, *place.allow_hosts)
    return (place.host, *place.allow_hosts) if place.allow_hosts else ()


def address(place: Place, port: int) -> str:
    """What to type into a browser on this machine."""
    scheme = "https" if place.tls_certificate is not None else "http"
    host = "localhost" if place.host in ("0.0.0.0", "::") else place.host
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def add_place(parser: argparse.ArgumentParser, port: int) -> None:
    """Add the options to a verb that listens on this port by default."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument(
        "--port", type=int, default=port, help=f"port to listen on; 0 takes a free one (default: {port})"
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a name that people reach it by; repeat"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="serve https with this certificate (PEM)")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="and its key")
    parser.add_argument(
        "--behind-proxy", action="store_true", help="believe the X-Forwarded headers of a proxy on this machine"
    )


def place_of(options: argparse.Namespace) -> Place:
    """What the options say."""
    check_port(options.port)
    return Place(
        options.host,
        options.port,
        tuple(name.lower() for name in options.allow_host),
        options.tls_cert,
        options.tls_key,
        options.behind_proxy,
    )
