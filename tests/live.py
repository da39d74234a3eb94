"""A labeling server on loopback, in a thread of the test or in a process of its own."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

from argon2 import PasswordHasher

from preceptor.feedback.app import AppSettings
from preceptor.feedback.app.first import first_invitation, first_texts
from preceptor.feedback.app.serve import uvicorn_server
from preceptor.feedback.store import Store, open_store
from preceptor.web.place import Place

PASSWORD = "a long password"
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # argon2's smallest: not what is tested


@contextmanager
def listening(store: Store, port: int = 0) -> Iterator[int]:
    """The app over a store, in a thread; its port. Who comes before it has started waits in the socket's line."""
    server = uvicorn_server(store, Place(), AppSettings(hasher=HASHER))
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)
    assert not thread.is_alive()


@contextmanager
def serving(database: str | Path) -> Iterator[tuple[str, str]]:
    """A server in a thread: its URL, and an invitation for the first admin."""
    with closing(open_store(database)) as store:
        first_texts(store)
        token = first_invitation(store)
        with listening(store) as port:
            yield f"http://127.0.0.1:{port}", token or ""


class Process:
    """``preceptor label`` as a process, which can be killed."""

    def __init__(self, database: str | Path, port: int = 0) -> None:
        code = "from preceptor.cli import main; raise SystemExit(main())"
        words = ["label", "--database", str(database), "--port", str(port)]
        self._process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url, self.token = "", ""
        while not self.url:
            line = self._process.stdout.readline()
            assert line, f"the server ended with {self._process.wait(60)}"
            if "there is no admin yet" in line:
                self.token = line.split("#")[1].split()[0]
            elif line.startswith("labeling at"):
                self.url = line.split()[2]
        self.port = int(self.url.rpartition(":")[2])

    def end(self, sign: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        self._process.send_signal(sign)
        return self._process.wait(60)
