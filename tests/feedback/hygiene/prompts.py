"""Prompts as the tests of the rules need them: a number, and what the rule looks at."""

from collections.abc import Iterable

from preceptor.feedback.schema import Prompt
from preceptor.text.conversation import Message


def prompt(number: int, text: str = "", user: str = "ann", system: str = "") -> Prompt:
    messages = [Message(role="system", content=system)] if system else []
    asked = Message(role="user", content=text or f"question {number}")
    return Prompt(id=f"p{number}", user=user, messages=[*messages, asked])


def ids(prompts: Iterable[Prompt]) -> list[str]:
    return [row.id for row in prompts]
