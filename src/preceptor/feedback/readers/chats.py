"""Whole conversations as others keep them: OpenAI's ``messages`` and ShareGPT's ``conversations``.

A conversation that ends with the assistant is a demonstration, and every turn of the assistant in it is
learnt. One that ends with the user is a prompt; as a demonstration it is left out and counted, and so is what
has tool calls, images, empty messages, or turns out of order.
"""

from typing import Any

from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place
from preceptor.feedback.readers.turns import add_conversation, check_turns, messages_of
from preceptor.text.conversation import Message

MESSAGES = '{"messages": [{"role", "content"}, ...]}'
SHAREGPT = '{"conversations": [{"from", "value"}, ...]}'


def is_messages(record: dict[str, Any]) -> bool:
    """Whether a record has a conversation in OpenAI's way."""
    return "messages" in record


def is_sharegpt(record: dict[str, Any]) -> bool:
    """Whether a record has a conversation in ShareGPT's way."""
    return "conversations" in record or "conversation" in record


def read_messages(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one conversation of OpenAI's kind."""
    _read(record, "messages", "messages", place, into)


def read_sharegpt(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one conversation of ShareGPT's kind; a "system" beside it is its system message."""
    _read(record, "conversations" if "conversations" in record else "conversation", "sharegpt", place, into)


def _read(record: dict[str, Any], field: str, source: str, place: Place, into: Collected) -> None:
    messages = messages_of(record.get(field), place, field)
    system = record.get("system")
    if isinstance(system, str) and system.strip():
        messages.insert(0, Message(role="system", content=system))
    check_turns(messages)
    add_conversation(messages, source, place, into)
