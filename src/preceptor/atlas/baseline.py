"""How to ask a base model, which knows no instructions: as the beginning of a text it has seen the like of.

Helpfulness over the base means little if the base was asked badly, so the evaluation tries every format
and takes the one that suits the base best.
"""

from collections.abc import Sequence

from preceptor.errors import InputError
from preceptor.text.conversation import Message

FORMATS = ("question", "few_shot", "dialogue", "plain")

# Shown before the question: two good answers, so that the base sees which replies are wanted.
_EXAMPLES = (
    ("Which city is the capital of Japan?", "The capital of Japan is Tokyo."),
    ("Write one sentence about iron.", "Iron is an element."),
)
_USER, _ASSISTANT = "Anna", "Ben"


def base_prompt(messages: Sequence[Message], format: str) -> str:
    """The text that a base model is to continue with its answer, up to the end of the line."""
    system = [message.content for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    if format in ("question", "few_shot"):
        shown = _EXAMPLES if format == "few_shot" else ()
        lines = [line for pair in shown for line in (f"Question: {pair[0]}", f"Answer: {pair[1]}")]
        lines += [f"{'Question' if turn.role == 'user' else 'Answer'}: {turn.content}" for turn in turns]
        return "\n".join([*system, *lines, "Answer:"])
    if format == "dialogue":
        lines = [f"{_USER if turn.role == 'user' else _ASSISTANT}: {turn.content}" for turn in turns]
        return "\n".join([*system, *lines, f"{_ASSISTANT}:"])
    if format == "plain":
        return "\n".join([*system, *(turn.content for turn in turns)]) + "\n"
    raise InputError(f"unknown base format {format!r}; take one of {', '.join(FORMATS)}")


def cut(text: str) -> str:
    """The answer in what a base model wrote: its first line."""
    return text.lstrip().split("\n", 1)[0].strip()
