"""Shared by the tests of readers: write records to a file, in whatever form."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write records as JSON lines into a new file and give its path."""
    count = 0

    def run(*rows: dict[str, Any]) -> Path:
        nonlocal count
        count += 1
        path = tmp_path / f"file{count}"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return run
