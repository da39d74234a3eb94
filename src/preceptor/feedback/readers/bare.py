"""Prompts that stand alone: ``{"prompt": "..."}``, with nothing that answers them.

The prompt is a text, a transcript or a list of messages, and ends with the user. Beside it may stand an ``id``, who the
``user`` was, and when it was ``created``; any other field means that the record is something else.
"""

from typing import Any

from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place
from preceptor.feedback.readers.tables import present
from preceptor.feedback.readers.turns import (
    TURNS,
    UnusableError,
    check_turns,
    is_transcript,
    messages_of,
    text_prompt,
    transcript,
)
from preceptor.text.conversation import Message

BARE = '{"prompt"}, a text or a list of messages, with no more than "id", "user" and "created" beside it'
BESIDE = ("id", "user", "created")


def is_bare(record: dict[str, Any]) -> bool:
    """Whether a record is a prompt and nothing else."""
    fields = present(record)
    return isinstance(fields.get("prompt"), (str, list)) and fields.keys() <= {"prompt", *BESIDE}


def read_bare(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one prompt; if it names no user its id stands for one, and if it has no id, its words do."""
    value = record.get("prompt")
    if isinstance(value, str):
        messages = transcript(value) if is_transcript(value) else [Message(role="user", content=value)]
    else:
        messages = messages_of(value, place, "prompt")
    check_turns(messages)
    if messages[-1].role != "user":
        raise UnusableError(TURNS)
    prompt = text_prompt(messages, "prompt")
    given, user, created = ("" if record.get(key) is None else str(record[key]) for key in BESIDE)
    name = given or prompt.id
    into.add_prompt(prompt.model_copy(update={"id": name, "user": user or name, "created": created}), place)
    if user:
        into.with_users.add(name)
