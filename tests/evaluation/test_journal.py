"""Rows that are kept as they come: going on after a stop, torn lines, and rows of something else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.evaluation.journal import Journal

IDS = ["a", "b", "c", "d", "e"]
MADE_FROM = {"model": "0f", "settings": {"tokens": 8, "words": (1, 2)}}


def maker(calls: list[list[int]], stop_at: int | None = None) -> Callable[[list[int]], list[dict[str, Any]]]:
    """Makes ``{"value": place}`` and notes what it was asked for; raises at the group of ``stop_at``."""

    def make(places: list[int]) -> list[dict[str, Any]]:
        if stop_at in places:
            raise KeyboardInterrupt
        calls.append(places)
        return [{"value": place} for place in places]

    return make


def test_a_stopped_measurement_goes_on_with_the_same_groups(tmp_path: Path) -> None:
    path = tmp_path / "out" / "answers.jsonl"
    calls: list[list[int]] = []
    with pytest.raises(KeyboardInterrupt):
        Journal(path, MADE_FROM).fill(IDS, maker(calls, stop_at=2), size=2)
    assert calls == [[0, 1]]
    path.write_bytes(path.read_bytes() + b'{"id": "c", "val')  # torn by a kill
    counts: list[int] = []
    rows = Journal(path, MADE_FROM).fill(IDS, maker(calls), size=2, on_progress=counts.append)
    assert calls == [[0, 1], [2, 3], [4]]
    assert counts == [2, 4, 5]
    assert rows == [{"id": name, "value": place} for place, name in enumerate(IDS)]
    whole = Journal(tmp_path / "at-once.jsonl", MADE_FROM)
    whole.fill(IDS, maker([]), size=2)
    assert whole.path.read_bytes() == path.read_bytes()


def test_a_group_that_is_not_whole_is_made_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "answers.jsonl", MADE_FROM)
    journal.keep([{"id": "c", "value": "old"}])
    calls: list[list[int]] = []
    assert [row["value"] for row in journal.fill(IDS, maker(calls), size=2)] == [0, 1, 2, 3, 4]
    assert [row["value"] for row in Journal(journal.path, MADE_FROM).rows()] == [2, 0, 1, 3, 4]


@pytest.mark.parametrize(
    ("made_from", "named"),
    [
        (MADE_FROM | {"model": "1e"}, "another model;"),
        (MADE_FROM | {"settings": {"tokens": 9, "words": [1, 2]}}, r"another settings\.tokens;"),
        (MADE_FROM | {"seed": 1}, "another seed;"),
    ],
)
def test_rows_of_something_else_are_refused(tmp_path: Path, made_from: dict[str, Any], named: str) -> None:
    path = tmp_path / "answers.jsonl"
    Journal(path, MADE_FROM).keep([{"id": "a"}])
    with pytest.raises(InputError, match=named):
        Journal(path, made_from)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"id": "a"}\n')
    with pytest.raises(InputError, match="was not written by this command"):
        Journal(path, MADE_FROM)
    assert path.read_text() == '{"id": "a"}\n'
