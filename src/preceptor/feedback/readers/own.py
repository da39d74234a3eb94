"""Our own formats: prompts, demonstrations and rankings as docs/formats.md has them.

People write these for us, so a mistake in them is an error, never a record left out.
"""

from typing import Any

from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place, validate
from preceptor.feedback.schema import Demonstration, Prompt, Ranking
from preceptor.text.conversation import Message

PROMPT = '{"id", "user", "messages": [..., {"role": "user", "content"}]}'
DEMONSTRATION = '{"prompt_id", "messages": [..., {"role": "assistant", "content"}], "labeler"}'
RANKING = '{"prompt_id", "messages", "responses": [{"text", "model"}, ...], "ranks", "labeler"}'


def is_prompt(record: dict[str, Any]) -> bool:
    """Whether a record is a prompt of ours. One that ends with the assistant is a logged conversation (OpenAI's)."""
    return {"id", "user", "messages"} <= record.keys() and not is_ranking(record) and not _is_answered(record)


def _is_answered(record: dict[str, Any]) -> bool:
    messages = record["messages"]
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") == "assistant"


def is_demonstration(record: dict[str, Any]) -> bool:
    """Whether a record is a demonstration of ours. With a "prompt" beside it, it is somebody else's (UltraChat)."""
    return {"prompt_id", "messages"} <= record.keys() and "prompt" not in record and not is_ranking(record)


def is_ranking(record: dict[str, Any]) -> bool:
    """Whether a record is a ranking of ours, or lacks only a part of one."""
    return bool({"ranks", "responses"} & record.keys() and {"prompt_id", "messages"} & record.keys())


def read_prompt(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one prompt, whose user is known."""
    prompt = validate(Prompt, record, place, "a prompt is " + PROMPT)
    if not prompt.messages[-1].content.strip():
        raise place.error(f"messages: the prompt must end with words of the user; a prompt is {PROMPT}")
    into.add_prompt(prompt, place)
    into.with_users.add(prompt.id)


def read_demonstration(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one demonstration with its prompt."""
    mend = "a demonstration is " + DEMONSTRATION
    row = validate(Demonstration, record, place, mend)
    into.add_prompt(_prompt(row.prompt_id, row.messages[:-1], place, mend), place)
    into.demonstrations.append(row)


def read_ranking(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one ranking with its prompt."""
    mend = "a ranking is " + RANKING
    if isinstance(record.get("responses"), list) and len(record["responses"]) == 1:
        raise place.error("ranks a single response, which compares nothing; give at least 2")
    row = validate(Ranking, record, place, mend)
    into.add_prompt(_prompt(row.prompt_id, row.messages, place, mend), place)
    into.rankings.append(row)


def _prompt(prompt_id: str, messages: list[Message], place: Place, mend: str) -> Prompt:
    """The prompt of a demonstration or ranking. The formats name no user: each prompt is its own."""
    if messages[-1].role != "user" or not messages[-1].content.strip():
        raise place.error(f"messages: the prompt must end with words of the user; {mend}")
    return Prompt(id=prompt_id, user=prompt_id, messages=messages)
