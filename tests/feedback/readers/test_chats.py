"""Conversations and instructions of others: what becomes of them, what is left out, what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.feedback.readers import Collected, read_demonstrations, read_prompts
from preceptor.feedback.readers.turns import BLANK, NOT_ENDED, PARTS, TOOLS, TURNS, UNTRAINED

Write = Callable[..., Path]
TURN = ("user", "assistant", "user")
USER, REPLY = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}


def turns(collected: Collected) -> list[list[tuple[str, str]]]:
    return [[(turn.role, turn.content) for turn in row.messages] for row in collected.demonstrations]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"messages": [USER, REPLY, USER, REPLY], "model": "x"}, [("user", "Why?"), ("assistant", "Because.")] * 2),
        (  # UltraChat: our own fields beside a prompt of its own
            {"prompt": "Why?", "prompt_id": "p", "messages": [USER, REPLY]},
            [("user", "Why?"), ("assistant", "Because.")],
        ),
        (
            {
                "messages": [
                    {"role": "developer", "content": "Be brief."},
                    {"role": "user", "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}]},
                    {**REPLY, "weight": 1, "name": "bot", "tool_calls": None},
                ]
            },
            [("system", "Be brief."), ("user", "Why?"), ("assistant", "Because.")],
        ),
        (
            {
                "id": "a_0",
                "system": "Be brief.",
                "conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}],
            },
            [("system", "Be brief."), ("user", "Why?"), ("assistant", "Because.")],
        ),
        (
            {"conversation": [{"from": "system", "value": " "}, {"from": "User", "value": "A"}, {**REPLY}]},
            [("user", "A"), ("assistant", "Because.")],
        ),
        (  # a log of OpenAI's with the fields of our prompts, which end with the user
            {"id": "chatcmpl-1", "user": "ann", "messages": [USER, REPLY]},
            [("user", "Why?"), ("assistant", "Because.")],
        ),
        (  # keys without a value, as a table that was written as JSON has them
            {
                "conversations": [
                    {"from": "human", "value": "Why?", "content": None, "role": None},
                    {"role": "assistant", "from": None, "content": None, "value": None, "text": "Because."},
                ]
            },
            [("user", "Why?"), ("assistant", "Because.")],
        ),
        (
            {"instruction": "Sort it. ", "input": "3 1\n", "output": " 1 3\n", "text": "all of it"},
            [("user", "Sort it.\n\n3 1"), ("assistant", "1 3")],
        ),
        (
            {"instruction": "And?", "output": "Yes", "system": "S", "history": [["a", "b"]]},
            [("system", "S"), ("user", "a"), ("assistant", "b"), ("user", "And?"), ("assistant", "Yes")],
        ),
        (
            {"instruction": "When?", "context": "In 1900.", "response": "1900", "category": "closed_qa"},
            [("user", "When?\n\nIn 1900."), ("assistant", "1900")],
        ),
        ({"prompt": "Why? ", "completion": " So."}, [("user", "Why?"), ("assistant", "So.")]),
        ({"prompt": [USER], "completion": [REPLY]}, [("user", "Why?"), ("assistant", "Because.")]),
    ],
)
def test_each_shape_becomes_a_demonstration(write: Write, record: dict[str, Any], expected: Any) -> None:
    collected = read_demonstrations([write(record)])
    assert turns(collected) == [expected]
    assert collected.skipped == {}
    ((prompt_id, prompt),) = collected.prompts.items()
    assert prompt_id == collected.demonstrations[0].prompt_id
    assert [(turn.role, turn.content) for turn in prompt.messages] == expected[:-1]
    assert not collected.with_users, "these formats name no people"


def test_dollys_categories_are_kinds(write: Write) -> None:
    rows = [
        {"instruction": f"{kind}?", "response": "x", "category": kind} for kind in ("closed_qa", "creative_writing")
    ]
    kinds = [prompt.kind for prompt in read_demonstrations([write(*rows)]).prompts.values()]
    assert kinds == ["closed_qa", "generation"]


@pytest.mark.parametrize(
    ("of", "reason", "record"),
    [
        ("demonstrations", NOT_ENDED, {"messages": [USER, REPLY, USER]}),
        ("demonstrations", NOT_ENDED, {"conversations": [{"from": "human", "value": "x"}]}),
        ("demonstrations", NOT_ENDED, {"instruction": "Go.", "output": " "}),
        ("records", TURNS, {"messages": [REPLY, USER, REPLY]}),
        ("records", TURNS, {"messages": [USER, USER, REPLY]}),
        ("records", TURNS, {"messages": [USER, {"role": "system", "content": "s"}, REPLY]}),
        ("records", TURNS, {"messages": [{"role": "system", "content": "s"}]}),
        ("records", BLANK, {"messages": [{**USER, "content": " "}, REPLY]}),
        ("records", BLANK, {"messages": [USER, {**REPLY, "content": None}]}),
        ("records", TOOLS, {"messages": [USER, {"role": "tool", "content": "3"}, REPLY]}),
        ("records", TOOLS, {"messages": [USER, {**REPLY, "tool_calls": [{"id": "x"}]}]}),
        ("records", PARTS, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, REPLY]}),
        ("records", UNTRAINED, {"messages": [USER, {**REPLY, "weight": 0}]}),
    ],
)
def test_what_cannot_be_learnt_is_left_out_and_counted(write: Write, of: str, reason: str, record: Any) -> None:
    good = {"messages": [{"role": "user", "content": "Good?"}, REPLY]}
    collected = read_demonstrations([write(good, record)])
    assert len(collected.demonstrations) == 1
    assert collected.skipped == {"demonstrations": {reason: 1}}
    with pytest.raises(InputError, match=r"none of its 1 records gives demonstrations; left out: 1 .*; leave the file"):
        read_demonstrations([write(record)])


def test_a_conversation_that_ends_with_the_user_is_a_prompt(write: Write) -> None:
    collected = read_prompts([write({"messages": [USER, REPLY, USER]}, {"messages": [USER]})])
    assert [len(prompt.messages) for prompt in collected.prompts.values()] == [3, 1]
    assert collected.skipped == {}


@pytest.mark.parametrize(
    ("record", "words", "user"),
    [
        ({"prompt": " Why?"}, [("user", " Why?")], None),
        ({"prompt": "Why?", "label": None}, [("user", "Why?")], None),
        ({"prompt": [{"role": "system", "content": "S"}, USER]}, [("system", "S"), ("user", "Why?")], None),
        (
            {"prompt": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"},
            list(zip(TURN, "abc", strict=True)),
            None,
        ),
        ({"prompt": "Why?", "id": 0, "user": "ann", "created": "2024"}, [("user", "Why?")], "ann"),
    ],
)
def test_a_prompt_alone_is_a_prompt(write: Write, record: dict[str, Any], words: Any, user: str | None) -> None:
    collected = read_prompts([write(record)])
    ((name, prompt),) = collected.prompts.items()
    assert [(turn.role, turn.content) for turn in prompt.messages] == words
    assert prompt.user == (user or name)
    assert collected.with_users == ({name} if user else set())
    assert ("id" not in record) or (name, prompt.created) == ("0", "2024")
    with pytest.raises(InputError, match=r":1: is a prompt alone, which gives no demonstrations; .* under prompts"):
        read_demonstrations([write(record)])


def test_a_prompt_alone_that_asks_nothing_is_left_out(write: Write) -> None:
    collected = read_prompts([write({"prompt": "Why?"}, {"prompt": " "}, {"prompt": [USER, REPLY]})])
    assert len(collected.prompts) == 1
    assert collected.skipped == {"prompts": {BLANK: 1, TURNS: 1}}


def test_only_left_out_records_are_no_prompts(write: Write) -> None:
    with pytest.raises(InputError, match="none of its 1 records gives prompts; left out: 1 conversations with tool"):
        read_prompts([write({"messages": [{"role": "tool", "content": "x"}]})])


def test_ids_are_made_from_the_words(write: Write) -> None:
    one, other = {"messages": [USER, REPLY]}, {"messages": [{"role": "user", "content": "Who?"}, REPLY]}
    first, second = read_demonstrations([write(one, other)]), read_demonstrations([write(other, one, one)])
    assert set(first.prompts) == set(second.prompts)
    assert len(second.demonstrations) == 3


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"messages": []}, r"file1:1: messages: must be a list of messages that is not empty"),
        ({"messages": "hi"}, r":1: messages: must be a list of messages"),
        ({"messages": ["hi"]}, r":1: messages.0: is no message; a message is"),
        ({"messages": [{"role": "bo\x1bss", "content": "x"}]}, r":1: messages.0: the role 'bo\\x1bss' is not known"),
        ({"messages": [{"content": "x"}]}, r":1: messages.0: the role None is not known"),
        ({"messages": [{"role": None, "content": "x"}]}, r":1: messages.0: the role None is not known"),
        ({"id": "p", "user": "u", "messages": [USER]}, r":1: is a prompt, which gives no demonstrations"),
        ({"messages": [{"role": "user", "content": 3}]}, r":1: messages.0: its content is no text"),
        ({"instruction": "x", "output": 3}, r":1: output: Input should be a valid string; a record is"),
        ({"instruction": "", "output": "x"}, r":1: instruction: "),
        ({"prompt": "p", "completion": "c", "label": False}, r"'prompt', 'completion', 'label' fits no format"),
        ({"id": "x", "Text": "y"}, r"the fields 'id', 'Text' fits no format; .*\(demonstrations\) is.*the others are"),
    ],
)
def test_a_malformed_record_is_refused_by_place(write: Write, record: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_demonstrations([write(record)])


def test_a_format_can_be_named(write: Write) -> None:
    path = write({"instruction": "Sort.", "output": "ok", "messages": [USER, REPLY]})
    assert turns(read_demonstrations([path]))[0][0] == ("user", "Why?")
    assert turns(read_demonstrations([path], formats={str(path): "alpaca"}))[0][0] == ("user", "Sort.")
    with pytest.raises(InputError, match="there is no format 'alpacca'; use one of open-assistant, "):
        read_demonstrations([path], formats={str(path): "alpacca"})
