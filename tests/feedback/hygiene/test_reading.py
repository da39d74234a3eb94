"""From files to prompts, and what is said of those that are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.feedback.hygiene.reading import Tally, mended, read_prompts
from preceptor.feedback.schema import Prompt


def read(path: Path, tally: Tally | None = None, **settings: Any) -> list[Prompt]:
    chosen: dict[str, Any] = {"name": None, "user": "", "max_characters": 1000, **settings}
    return [prompt for _, prompt in read_prompts([path], tally or Tally(), **chosen)]


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(*turns: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[index % 2], "content": turn} for index, turn in enumerate(turns)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_our_own_format_is_read_as_it_is(file: Path) -> None:
    row = {"id": "p", "user": "ann", "messages": asked("hi"), "source": "api", "kind": "chat", "created": "2024"}
    assert [prompt.model_dump() for prompt in read(write(file, row))] == [row]


def test_a_log_of_messages_keeps_its_users_and_times(file: Path) -> None:
    rows = [
        {"messages": asked("one", "answer", "two", "answer"), "user": "ann", "created": 1700000000},
        {"messages": asked("one"), "safety_identifier": "bob"},
        {
            "custom_id": "x",
            "url": "/v1/chat/completions",
            "body": {"model": "m", "messages": asked("three"), "user": 7},
        },
        {"messages": asked("four")},
        {"id": "chatcmpl-5", "user": "eve", "messages": asked("five", "answer"), "model": "m"},
    ]
    prompts = read(write(file, *rows))
    assert [prompt.messages[-1].content for prompt in prompts] == ["two", "one", "three", "four", "five"]
    assert [prompt.user for prompt in prompts] == ["ann", "bob", "7", prompts[3].id, "eve"]
    assert prompts[0].created == "2023-11-14T22:13:20+00:00"


def test_a_user_can_be_named_for_prompts_that_name_none(file: Path) -> None:
    prompts = read(write(file, {"messages": asked("a")}, {"prompt": "b", "user": "bob"}), user="team")
    assert [prompt.user for prompt in prompts] == ["team", "bob"]


def test_an_empty_user_is_nobody_and_not_one_person(file: Path) -> None:
    rows = [{"id": name, "user": "", "messages": asked(name)} for name in "ab"]
    assert [prompt.user for prompt in read(write(file, *rows))] == ["a", "b"]


def test_plain_text_is_a_prompt_a_line(file: Path) -> None:
    file.write_bytes("\ufeffWrite a poem, please\r\n\r\nTell me, why\r\n{no json}\n".encode())
    assert [prompt.messages[0].content for prompt in read(file)] == [
        "Write a poem, please",
        "Tell me, why",
        "{no json}",
    ]
    assert len({prompt.user for prompt in read(file)}) == 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_with_prompts_is_a_table(file: Path, delimiter: str) -> None:
    file.write_text('prompt,user\n"one+ two",ann\nthree,bob\n'.replace(",", delimiter).replace("+", ","))
    assert [(prompt.messages[0].content, prompt.user) for prompt in read(file)] == [
        ("one, two", "ann"),
        ("three", "bob"),
    ]
    assert read(file, name="text")[0].messages[0].content == f"prompt{delimiter}user"


def test_a_column_of_prompts_is_a_table(file: Path) -> None:
    file.write_text("prompt\nWrite a poem, please\nTell me\n")
    assert [prompt.messages[0].content for prompt in read(file)] == ["Write a poem, please", "Tell me"]
    file.write_text('prompt\n"Write a poem,\nplease"\n')
    assert [prompt.messages[0].content for prompt in read(file)] == ["Write a poem,\nplease"]


def test_formats_of_others_give_their_prompts(file: Path) -> None:
    file.write_text(json.dumps([{"instruction": "Add", "input": "1 2", "output": "3", "user": "x"}]))
    (prompt,) = read(file)
    assert "Add" in prompt.messages[0].content
    assert prompt.user == prompt.id, "what `user` means in a format that has none of ours is not known"


def test_what_is_unusable_empty_or_too_long_is_counted(file: Path) -> None:
    tally = Tally()
    rows = [
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "tool_calls": [1]}]},
        {"prompt": "\u200b \u202e"},
        {"prompt": "x" * 1001},
        {"prompt": "fine\r\n"},
    ]
    assert len(read(write(file, *rows), tally)) == 1
    assert {rule: sum(reasons.values()) for rule, reasons in tally.counts.items()} == {
        "unusable": 1,
        "unicode": 2,
        "empty": 1,
        "too long": 1,
    }
    assert tally.examples["too long"][0]["place"] == f"{file}:3"
    assert len(tally.examples["too long"][0]["text"]) < 300
    again = Tally.from_json(json.loads(json.dumps(tally.to_json())))
    assert again == tally


def test_a_prompt_of_ten_megabytes_passes_if_it_may(file: Path) -> None:
    text = "word " * 2_000_000
    assert read(write(file, {"prompt": text}), max_characters=20_000_000)[0].messages[0].content == text
    assert read(file) == []


def test_half_of_an_emoji_is_mended(file: Path) -> None:
    tally = Tally()
    file.write_text('{"prompt": "cut \\ud83d"}\n{"prompt": "whole \\ud83d\\ude00", "user": "\\udc00"}\n')
    cut, whole = read(file, tally)
    assert cut.messages[0].content == "cut \ufffd"
    assert (whole.messages[0].content, whole.user) == ("whole \U0001f600", "\ufffd")
    assert tally.counts["unicode"] == {"half surrogate pairs": 2}
    assert mended(["a\ud83db", {"\ud83d": 1}]) == ["a\ufffdb", {"\ufffd": 1}]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('{"prompt": "a"}\n{"prompt"\n', ":2: not valid JSON"),
        ('{"prompt": "a"}\n[1]\n', ":2: holds no JSON object"),
        ('{"prompt": "a"}\n{"question": "b"}\n', ":2: a record with the fields 'question' fits no format"),
        ('{"id": "p", "user": "u", "messages": []}\n', ":1: messages"),
        ('{"messages": [{"role": "wizard", "content": "a"}]}\n', ":1: messages.0: the role 'wizard'"),
        ("[" * 200_000 + "\n", "nested too deeply|not valid JSON"),
        ("", "is empty"),
        ("\n\n", "is empty"),
    ],
)
def test_malformed_input_is_named_by_its_line(file: Path, content: str, error: str) -> None:
    file.write_text(content)
    with pytest.raises(InputError, match=error):
        read(file)


def test_a_large_file_that_must_be_read_whole_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preceptor.feedback.hygiene.reading.MAX_WHOLE_BYTES", 10)
    file.write_text(json.dumps([{"prompt": "a"}]))
    with pytest.raises(InputError, match="write it as JSON lines"):
        read(file)
