"""What is looked at in each prompt alone, here and in processes beside."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.feedback.hygiene import examining
from preceptor.feedback.hygiene.examining import Examiner, Setup, Workers, examine_chunk


def row(seq: int, *texts: str, kind: str = "other") -> tuple[int, str]:
    messages = [{"role": "user", "content": text} for text in texts]
    return seq, json.dumps({"id": f"p{seq}", "user": "u", "messages": messages, "kind": kind})


def killed(rows: Any) -> list[Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


@pytest.fixture
def beside() -> Iterator[Workers]:
    workers = Workers(2, Setup(pii="off"), languages=True)
    yield workers
    workers.close()


def test_every_message_is_looked_at_and_the_record_keeps_its_other_fields() -> None:
    examined = Examiner(Setup()).examine(row(3, "mail a@example.com", "write a poem to b@example.com"))
    assert examined.record is not None and examined.findings is not None
    prompt = json.loads(examined.record)
    assert [message["content"] for message in prompt["messages"]] == [
        "mail <EMAIL_ADDRESS>",
        "write a poem to <EMAIL_ADDRESS>",
    ]
    assert (prompt["id"], examined.seq, examined.kind) == ("p3", 3, "generation")
    assert [one["message"] for one in json.loads(examined.findings)] == [0, 1]


@pytest.mark.parametrize("pii", ["flag", "drop"])
def test_what_is_only_flagged_or_dropped_is_not_changed(pii: Any) -> None:
    examined = Examiner(Setup(pii=pii)).examine(row(1, "mail a@example.com"))
    assert examined.record is None
    assert examined.findings is not None and "example" not in examined.findings


def test_processes_give_the_results_in_order(beside: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "CHUNK_ROWS", 3)
    results = [
        one for chunk in beside.map(examine_chunk, (row(n, f"what is {n}?") for n in range(20))) for one in chunk
    ]
    assert [one.seq for one in results] == list(range(20))
    assert {one.kind for one in results} == {"open_qa"}
    assert beside.shown(["a@example.com"]) == ["a@example.com"], "nothing is hidden where nothing was to be looked for"


def test_a_process_that_is_killed_is_one_line(beside: Workers) -> None:
    with pytest.raises(InputError, match=r"was killed.*start the same command again"):
        list(beside.map(killed, [row(1, "a")]))


def test_what_a_process_cannot_load_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(0, Setup(names="/nowhere"), languages=False)
    with pytest.raises(InputError, match="no spaCy model can be loaded"):
        list(workers.map(examine_chunk, [row(1, "a")]))
