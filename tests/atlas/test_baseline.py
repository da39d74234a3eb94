"""How a base model is asked."""

import pytest

from preceptor.atlas.baseline import FORMATS, base_prompt, cut
from preceptor.errors import InputError
from preceptor.text.conversation import Message

MESSAGES = [
    Message(role="system", content="Be kind."),
    Message(role="user", content="Hello!"),
    Message(role="assistant", content="Hi!"),
    Message(role="user", content="Who are you?"),
]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_holds_the_whole_conversation_in_order(form: str) -> None:
    text = base_prompt(MESSAGES, form)
    places = [text.index(message.content) for message in MESSAGES]
    assert places == sorted(places)
    assert not text.endswith(" ")


def test_the_question_format_is_that_of_the_corpus() -> None:
    assert base_prompt(MESSAGES[1:2], "question") == "Question: Hello!\nAnswer:"


def test_the_answer_ends_with_its_line() -> None:
    assert cut(" The symbol is Fe.\nQuestion: What?") == "The symbol is Fe."
    assert cut("\nLate.") == "Late."
    assert cut("") == ""


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(InputError, match="few_shot"):
        base_prompt(MESSAGES, "poem")
