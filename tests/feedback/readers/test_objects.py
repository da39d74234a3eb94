"""A file that is one JSON object: a record over several lines, or what wraps a list of records."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.feedback.hygiene.reading import Tally
from preceptor.feedback.hygiene.reading import read_prompts as import_prompts
from preceptor.feedback.inspection import figures, read_contents
from preceptor.feedback.readers import read_demonstrations, read_documents, read_prompts
from preceptor.feedback.readers.records import LOOKED_AT, open_source, read_records

ROWS = [{"instruction": f"Say {n}", "output": "{[,:\n]}"} for n in range(3)]
CHAT = {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}
TREE = {
    "message_tree_id": "t",
    "prompt": {"message_id": "t", "text": "Why?", "role": "prompter", "replies": []},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("record", [CHAT, TREE, {"prompt": "p", "answers": [{"answer": "a", "rank": 1}]}, {"x": 1}])
@pytest.mark.parametrize("indent", [None, 2])
def test_one_record_is_one_record(file: Path, record: dict[str, Any], indent: int | None) -> None:
    file.write_text("\n" + json.dumps(record, indent=indent) + "\n\n")
    assert open_source(file).form == ("JSON lines" if indent is None else "JSON object")
    ((place, read),) = read_records(file)
    assert (read, str(place)) == (record, f"{file}:2")


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize(
    "wrapper",
    [
        {"data": ROWS},
        {"version": "1", "count": 3, "tags": ["a"], "rows": ROWS, "columns": [{"name": "instruction"}], "none": []},
        {'a "key"': ROWS},
    ],
)
def test_the_records_in_an_object_are_read(file: Path, wrapper: dict[str, Any], indent: int | None) -> None:
    file.write_text("\ufeff" + json.dumps(wrapper, indent=indent))
    assert open_source(file).form == "JSON object"
    assert [record for _, record in read_records(file)] == ROWS
    assert len(read_demonstrations([file]).demonstrations) == 3
    assert read_contents(file, None, 100).readers == {"alpaca": 3}
    imported = import_prompts([file], Tally(), name=None, user="", max_characters=100)
    assert [prompt.messages[0].content for _, prompt in imported] == ["Say 0", "Say 1", "Say 2"]


def test_their_places_are_the_lines_where_they_begin(file: Path) -> None:
    file.write_text('{\n"data": [\n{"a": 1},\n\n{"a":\n2}, {"a": 3}]\n}')
    assert [place.number for place, _ in read_records(file)] == [3, 5, 6]
    file.write_text('{"data": [{"prompt": "a"},\n{"promt": "b"}]}')
    with pytest.raises(InputError, match="file:2: a record with the fields 'promt' fits no format"):
        read_prompts([file])


def test_a_long_line_is_unwrapped_too(file: Path) -> None:
    file.write_text(json.dumps({"data": [*ROWS, {"instruction": "Go", "output": "x" * LOOKED_AT}]}))
    assert len(list(read_records(file))) == 4


def test_documents_may_be_wrapped(file: Path) -> None:
    file.write_text(json.dumps({"data": [{"text": "One."}, {"text": "Two."}]}))
    assert read_documents([file], 100).texts == ["One.", "Two."]
    assert figures(read_contents(file, None, 100))["counts"]["documents"] == 2
    file.write_text(json.dumps({"text": "One."}, indent=2))
    assert read_documents([file], 100).texts == ["One."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps({"train": ROWS, "test": ROWS}), r"file:1: holds several lists of records, 'train', 'test'; write"),
        # A conversation under another name, and turns of a dialogue: no wrapper.
        (json.dumps({"turns": CHAT["messages"]}, indent=1), r"file:1: a record with the fields 'turns' fits no format"),
        (json.dumps({"id": 1, "dialog": [{"who": "a", "text": "b"}]}), r"the fields 'id', 'dialog' fits no format"),
        ('{\n"data": [\n{"a": 1},\n{"b" 2}]}', r"file:4: not valid JSON \(Expecting ':' delimiter\); mend the object"),
        ('{"data": [\n{"a": 1}', r"file:2: not valid JSON"),
        ("{\n", r"file:1: not valid JSON .*; write one JSON object a line"),
        ('{\n"a": 1', r"file:2: not valid JSON .*; mend the object or write one object a line"),
        ('{\n"a": ' + "9" * 5000 + "}", r"file:1: cannot be read"),
        ('{\n"a":' * 100_000, r"file:\d+: (is nested too deeply|not valid JSON)"),
        ('{\n"prompt": "\\ud83d"}', r"file:1: holds half a surrogate pair"),
        ('{\n"data": [{"prompt": "a"},\n{"prompt": "\\ud83d"}]}', r"file:3: holds half a surrogate pair"),
        ('{"prompt": "a"}\n{"prompt": \n', r"file:2: not valid JSON .*; write one JSON object a line"),
        (json.dumps(ROWS[0], indent=1) * 2, r"file:1: not valid JSON .*; write one JSON object a line"),
    ],
)
def test_what_is_not_clear_or_broken_is_named_by_its_line(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_contents(file, None, 100)
    assert "\n" not in str(error.value)
