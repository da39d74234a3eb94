"""Files that are wholly there or not at all."""

import os
from pathlib import Path

import pytest

from preceptor.files import ORDINARY, directory_atomic, file_atomic, write_atomic


def write_privately(path: Path) -> None:
    """As libraries do that go through a temporary file of their own."""
    path.write_text("new")
    path.chmod(0o600)


def test_what_is_written_is_as_readable_as_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with file_atomic(tmp_path / "file") as partial:
        write_privately(partial)
    with directory_atomic(tmp_path / "directory") as partial:
        write_privately(partial / "file")
    modes = {os.stat(tmp_path / name).st_mode & 0o777 for name in ("plain", "file", "directory/file")}
    assert modes == {ORDINARY}


def fail_halfway(path: Path) -> None:
    path.write_text("half")
    raise OSError("the disk is full")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file", "old")
    with pytest.raises(OSError, match="full"), file_atomic(tmp_path / "file") as partial:
        fail_halfway(partial)
    with pytest.raises(OSError, match="full"), directory_atomic(tmp_path / "directory") as partial:
        fail_halfway(partial / "file")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]
