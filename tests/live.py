"""A labeling server on loopback, in a thread of the test or in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from argon2 import PasswordHasher

from preceptor.feedback.app import AppSettings
from preceptor.feedback.app.first import first_invitation, first_texts
from preceptor.feedback.app.serve import Place, uvicorn_server
from preceptor.feedback.store import open_store

PASSWORD = "a long password"


@contextmanager
def serving(database: str | Path) -> Iterator[tuple[str, str]]:
    """A server in a thread: its URL, and an invitation for the first admin."""
    quick = AppSettings(hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1), hashings_at_once=4)
    store = open_store(database)
    first_texts(store)
    token = first_invitation(store)
    server = uvicorn_server(store, Place(), quick)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", token or ""
        finally:
            server.should_exit = True
            thread.join(30)
            store.close()
    assert not thread.is_alive()


class Process:
    """``preceptor label`` as a process, which can be killed."""

    def __init__(self, database: str | Path, port: int = 0) -> None:
        code = "from preceptor.cli import main; raise SystemExit(main())"
        words = ["label", "--database", str(database), "--port", str(port)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, env={**os.environ}
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[2]
        self.token = ""
        if "there is no admin yet" in (line := self._until_admin()):
            self.token = line.split("#")[1].split()[0]
        self.port = int(self.url.rpartition(":")[2])

    def _until_admin(self) -> str:
        """The second line, if it comes at once: with an admin there is none."""
        assert self._process.stdout is not None
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                with socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), timeout=1):
                    break
            except OSError:
                time.sleep(0.05)
        os.set_blocking(self._process.stdout.fileno(), False)
        return self._process.stdout.readline()

    def end(self, sign: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        self._process.send_signal(sign)
        return self._process.wait(60)
