"""The socket that a server listens on, bound before anything is said of it."""

import errno
import socket

from preceptor.errors import InputError


def check_port(port: int) -> None:
    """Refuse what is no port; 0 stands for a free one."""
    if not 0 <= port <= 65535:
        raise InputError(f"--port {port}: give 0 to 65535")


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address of this machine. Raises :class:`InputError` if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"port {port} is in use; choose another with --port") from None
        raise InputError(f"cannot listen on {host}:{port} ({error.strerror or error}); check --host") from None
