"""Two responses, one preferred: ``prompt``, ``chosen``, ``rejected``, and HH-RLHF's two transcripts.

``chosen`` and ``rejected`` are the answers as text, or lists of messages that hold the answer alone or the
whole conversation (as UltraFeedback's binarized form does). The prompt is a text (``prompt``, ``question`` or
``instruction`` with ``input``), a list of messages, a transcript, or is not there and is what the two lists begin with.
In HH-RLHF both are transcripts, ``\\n\\nHuman: ...\\n\\nAssistant: ...``, that differ in the last turn.
"""

from typing import Any

from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place
from preceptor.feedback.readers.turns import (
    NOT_ENDED,
    OTHER_PROMPTS,
    UnusableError,
    add_ranking,
    check_turns,
    is_transcript,
    messages_of,
    transcript,
)
from preceptor.feedback.schema import Response
from preceptor.text.conversation import Message

HH = '{"chosen": "\\n\\nHuman: ...\\n\\nAssistant: ...", "rejected": the same with another last turn}'
PAIR = '{"prompt", "chosen", "rejected"}, each a text or a list of messages'


def is_pair(record: dict[str, Any]) -> bool:
    """Whether a record compares two responses."""
    return {"chosen", "rejected"} <= record.keys()


def is_hh(record: dict[str, Any]) -> bool:
    """Whether a record is two transcripts."""
    return is_pair(record) and is_transcript(record["chosen"]) and is_transcript(record["rejected"])


def read_hh(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one comparison of two transcripts."""
    for field in ("chosen", "rejected"):
        if not is_transcript(record.get(field)):
            raise place.error(f"{field}: is no transcript; a record is {HH}")
    _add(transcript(record["chosen"]), transcript(record["rejected"]), "hh-rlhf", place, into)


def read_pair(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one comparison of two responses."""
    prompt = _prompt(record, place)
    chosen, rejected = (_whole(record, field, prompt, place) for field in ("chosen", "rejected"))
    _add(chosen, rejected, "preferences", place, into, str(record.get("labeler") or ""))


def _prompt(record: dict[str, Any], place: Place) -> list[Message]:
    """The prompt, as far as the record gives it beside the two responses."""
    field = next((name for name in ("prompt", "question", "instruction", "conversations") if record.get(name)), None)
    if field is None:
        return []
    value = record[field]
    if is_transcript(value):
        return transcript(value)
    if not isinstance(value, str):
        return messages_of(value, place, field)
    more = record.get("input") if field == "instruction" else None
    parts = [part.strip() for part in (value, more) if isinstance(part, str) and part.strip()]
    system = record.get("system")
    before = [Message(role="system", content=system)] if isinstance(system, str) and system.strip() else []
    return [*before, Message(role="user", content="\n\n".join(parts))]


def _whole(record: dict[str, Any], field: str, prompt: list[Message], place: Place) -> list[Message]:
    """The conversation that ends with this response."""
    value = record[field]
    if isinstance(value, str):
        if not prompt:
            raise place.error(f"{field}: is a text and the record has no prompt; a record is {PAIR}")
        return [*prompt, Message(role="assistant", content=value.strip())]
    messages = messages_of(value, place, field)
    return [*prompt, *messages] if messages and messages[0].role == "assistant" else messages


def _add(
    chosen: list[Message], rejected: list[Message], source: str, place: Place, into: Collected, labeler: str = ""
) -> None:
    for messages in (chosen, rejected):
        if not messages or messages[-1].role != "assistant":
            raise UnusableError(NOT_ENDED)
    if chosen[:-1] != rejected[:-1]:
        raise UnusableError(OTHER_PROMPTS)
    check_turns(chosen[:-1])
    responses = [Response(text=messages[-1].content) for messages in (chosen, rejected)]
    add_ranking(chosen[:-1], responses, [1, 2], source, place, into, labeler)
