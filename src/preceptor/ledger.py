"""The memory of a run directory: ``run.json`` says what is done, a lock who may write.

``run.json`` is replaced in one step after every stage, so a kill at any moment leaves a true
one. Between two stages a thread keeps ``clock.json``, so that the time and the memory of a
killed attempt are counted too.
"""

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from preceptor.errors import InputError
from preceptor.feedback import STORE
from preceptor.files import read_json, write_json
from preceptor.provenance import content_hash, first_difference, named_paths
from preceptor.recipe import Recipe

FORMAT = 1  # of run.json
CLOCK_SECONDS = 5.0


class Ledger:
    """The units of a run that are done, each with its fingerprint, its summary and its seconds."""

    def __init__(self, root: Path, recipe: Recipe) -> None:
        """Read ``root/run.json``, or begin a new one in memory; nothing is written yet."""
        self.root = root
        self.path = root / "run.json"
        self.recipe: dict[str, Any] = recipe.model_dump(mode="json")
        self.units: dict[str, dict[str, Any]] = {}
        self.peak_memory_bytes = 0
        self.sources = {str(path): content_hash(path) for path in named_paths(recipe) if path.exists()}
        self.fresh = not self.path.exists()
        if not self.fresh:
            self._read()
        elif root.exists():
            self._refuse_strangers()

    def _read(self) -> None:
        old = read_json(self.path)
        if old.get("format") != FORMAT:
            raise InputError(f"{self.path}: written by another version of Preceptor; give another --out")
        different = first_difference(old["recipe"], self.recipe)
        if different is not None:
            key, there, here = different
            raise InputError(
                f"{self.root}: a run of another recipe: {key} is {there!r} there and {here!r} here; "
                f"give another --out, or remove {self.root} to start afresh"
            )
        self.units, self.peak_memory_bytes = old["units"], old["peak_memory_bytes"]
        for name, digest in old["sources"].items():
            if self.sources.setdefault(name, digest) != digest:
                raise InputError(
                    f"{name}: has changed since {self.root} was begun with it; "
                    f"give another --out, or bring the old file back"
                )
        clock = self.root / "clock.json"
        if clock.exists():
            last = read_json(clock)
            unit = self.units.get(last["unit"])
            if unit is not None:
                unit["seconds"] = max(unit["seconds"], last["seconds"])
            self.peak_memory_bytes = max(self.peak_memory_bytes, last["peak_memory_bytes"])

    def _refuse_strangers(self) -> None:
        if not self.root.is_dir():
            raise InputError(f"{self.root}: is a file; name a directory for the run")
        # The labeling app may have been there first: `preceptor label --run`.
        known = (".", STORE)
        strangers = sorted(path.name for path in self.root.iterdir() if not path.name.startswith(known))
        if strangers:
            raise InputError(
                f"{self.root}: holds {strangers[0]} but no run; name a new or an empty directory for the run"
            )

    def save(self) -> None:
        """Replace ``run.json``."""
        value = {
            "format": FORMAT,
            "recipe": self.recipe,
            "sources": self.sources,
            "units": self.units,
            "peak_memory_bytes": self.peak_memory_bytes,
        }
        write_json(self.path, value)

    def is_done(self, unit: str, fingerprint: str, out: Path) -> bool:
        """Whether the unit was finished from exactly these inputs and its output is still there."""
        entry = self.units.get(unit, {})
        return bool(entry.get("done")) and entry["fingerprint"] == fingerprint and out.exists()

    @contextmanager
    def working_on(self, unit: str, fingerprint: str, outs: list[Path]) -> Iterator[None]:
        """Mark a unit as begun and count its time. Output of the unit from other inputs is removed first."""
        entry = self.units.get(unit)
        if entry is not None and entry["fingerprint"] != fingerprint:
            for out in outs:
                shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
            entry = None
        seconds = entry["seconds"] if entry else 0.0
        self.units[unit] = {"fingerprint": fingerprint, "done": False, "seconds": seconds}
        self.save()
        began, stop = time.monotonic(), threading.Event()

        def tick() -> None:
            self.peak_memory_bytes = max(self.peak_memory_bytes, peak_memory())
            self.units[unit]["seconds"] = round(seconds + time.monotonic() - began, 3)
            clock = {"unit": unit, "seconds": self.units[unit]["seconds"], "peak_memory_bytes": self.peak_memory_bytes}
            with suppress(OSError):  # a full disk must stop the stage, which knows what it wrote, and not its clock
                write_json(self.root / "clock.json", clock)

        def keep_time() -> None:
            while not stop.wait(CLOCK_SECONDS):
                tick()

        thread = threading.Thread(target=keep_time, name="clock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            tick()

    def finish(self, unit: str, summary: dict[str, Any]) -> None:
        """Mark a unit as done, for good."""
        self.units[unit] |= {"done": True, "summary": summary}
        self.save()


@contextmanager
def claimed(root: Path) -> Iterator[None]:
    """Hold a directory against other processes. The lock dies with the process, so a kill leaves no trace.

    If the input turns out to be unusable before anything worth keeping is there, the directory is
    left as it was found.
    """
    existed = root.exists()
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{root}: another process is at work in it; wait for it, or give another --out") from None
    try:
        _sweep(root)
        had = set(root.iterdir())
        yield
    except InputError:
        if not worth_keeping(root):
            for path in set(root.iterdir()) - (had - {root / ".lock"}):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            if not existed:
                root.rmdir()
        raise
    finally:
        lock.release()


def _sweep(root: Path) -> None:
    """Remove what killed processes left half written (the names are those of :mod:`preceptor.files`)."""
    for path in [*root.rglob(".*.partial"), *root.rglob(".*.old")]:
        if re.fullmatch(r"\..+\.\d+\.(partial|old)", path.name):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def worth_keeping(root: Path) -> bool:
    """Whether a stage left more in a directory than the account of its beginning."""
    if (root / "run.json").exists():
        return any(unit["done"] for unit in read_json(root / "run.json")["units"].values())
    account = {"provenance.json", "metrics.jsonl", "recipe.toml", "clock.json"}
    return any(path.name not in account for path in root.iterdir() if not path.name.startswith("."))


def peak_memory() -> int:
    """The most memory in bytes that this process ever held at once."""
    try:  # Linux; getrusage would count the parent's memory from before exec as ours
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource  # not on Windows

        scale = 1 if os.uname().sysname == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
