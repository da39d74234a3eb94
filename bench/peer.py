"""A peer of a bench: a trainer in a process of its own, in the environment that it needs."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from machine import Clock


class Peer:
    """Runs ``peers/<script>`` under another interpreter; each :meth:`train` is one line to it and its seconds back."""

    def __init__(self, script: str, python: str, options: Mapping[str, object], clock: Clock):
        options = {**options, "threads": clock.threads}
        flags = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        flags += ["--cpu-time"] * clock.cpu_time
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [python, str(Path(__file__).parent / "peers" / script), *flags],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env={name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")},
        )  # fmt: skip
        self._answer()

    def train(self) -> float:
        """The seconds that the work takes there."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> object:
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            sys.exit(f"the peer ended:\n{self.log.read()[-4000:]}")
        return json.loads(line)

    def peak_bytes(self) -> int:
        """The most memory that it ever held (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def close(self) -> None:
        """Let it end."""
        self.process.stdin.close()
        self.process.wait()
