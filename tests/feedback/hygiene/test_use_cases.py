"""Use cases by rules."""

from pathlib import Path

import pytest

from preceptor.errors import InputError
from preceptor.feedback.hygiene.use_cases import UseCases
from preceptor.feedback.schema import USE_CASES
from preceptor.text.conversation import Message

PASSAGE = "The river rises in the hills and flows to the sea. Its bed is wide. Many mills stood there. " * 4


@pytest.fixture(scope="module")
def use_cases() -> UseCases:
    return UseCases()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Write a short story about a whale who learns to read.", "generation"),
        ("Could you please draft an email to my landlord?", "generation"),
        ("Who built the statue of liberty?", "open_qa"),
        ("Explain photosynthesis to a child.", "open_qa"),
        ("List five ideas for how to regain enthusiasm for my career", "brainstorming"),
        ("What are some good names for a cat?", "brainstorming"),
        ("Hello!", "chat"),
        ("The following is a conversation with an AI assistant. Human: I am sad today", "chat"),
        ("Translate this sentence to Spanish: I am hungry", "rewrite"),
        ("Hi there! Rewrite this more politely: give me the salt", "rewrite"),
        ("Summarize this for a second-grade student: " + PASSAGE, "summarization"),
        (PASSAGE + "\nTL;DR", "summarization"),
        ("Classify the sentiment of this review: the food was cold", "classification"),
        ("Is a whale a fish or a mammal?", "classification"),
        ("Based on the following text, where does the river flow?\n" + PASSAGE, "closed_qa"),
        (PASSAGE + "\nWhere does it flow?", "closed_qa"),
        ("Extract all place names from this text: " + PASSAGE, "extraction"),
        ("blue", "other"),
        ("\u8bf7\u603b\u7ed3\u4e0b\u9762\u7684\u6587\u7ae0", "summarization"),
        ("", "other"),
    ],
)
def test_the_rules_name_the_use_case(use_cases: UseCases, text: str, kind: str) -> None:
    assert use_cases.of([Message(role="user", content=text)]) == kind


def test_a_conversation_that_goes_on_is_chat_if_nothing_else_fits(use_cases: UseCases) -> None:
    turns = [("user", "blue"), ("assistant", "a colour"), ("user", "green")]
    assert use_cases.of([Message(role=role, content=text) for role, text in turns]) == "chat"  # type: ignore[arg-type]


def test_there_are_ten() -> None:
    assert len(set(USE_CASES)) == 10


def test_rules_of_ones_own_replace_those_that_come_with_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[rule]]\nkind = "chat"\ncontains = ["ahoy"]\nwords = 3\n')
    mine = UseCases(path)
    assert mine.of([Message(role="user", content="Ahoy you")]) == "chat"
    assert mine.of([Message(role="user", content="ahoy, write me a poem")]) == "other"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("[[rule", "not valid TOML"),
        ("x = 1", "holds no rules"),
        ('[[rule]]\nkind = "poetry"\nbegins = ["a"]', "rule 1: there is no use case 'poetry'"),
        ('[[rule]]\nkind = "chat"\nbegins = ["("]', "is no regular expression"),
        ('[[rule]]\nkind = "chat"\nbegin = ["a"]', "rule 1: begin"),
    ],
)
def test_a_mistake_in_the_rules_is_named(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=error):
        UseCases(path)


def test_a_long_text_takes_no_long_time(use_cases: UseCases) -> None:
    for text in ("please " * 100_000, "a" * 1_000_000, "the of " * 100_000 + "?", ": a\n" * 100_000):
        use_cases.of([Message(role="user", content=text)])
