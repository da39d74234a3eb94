"""From finished files to their place, all or none, whatever happens in between.

The new files are complete in a directory of their own, then a note says so, then each takes its name. A kill before
the note leaves the old files; after it, the next import first moves what is left to move.
"""

import os
import shutil
from pathlib import Path

from preceptor.files import write_atomic

READY = "READY"


def publish(work: Path, out: Path) -> None:
    """Move every file under ``work/new`` to the same place under ``out``, and remove ``work``."""
    for file in (work / "new").rglob("*"):
        if file.is_file():
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())
    write_atomic(work / READY, "")
    finish(work, out)


def finish(work: Path, out: Path) -> bool:
    """Finish a publication that was begun; False if none was."""
    if not (work / READY).exists():
        return False
    for file in sorted((work / "new").rglob("*")):
        if file.is_file():
            target = out / file.relative_to(work / "new")
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
    shutil.rmtree(work)
    return True
