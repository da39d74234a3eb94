"""Prompts and responses as rows."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from preceptor.feedback.schema import Prompt, Response
from preceptor.feedback.store.errors import InvalidError, StaleError
from preceptor.feedback.store.settings import is_forgotten
from preceptor.feedback.store.tables import StoredPrompt, StoredResponse
from preceptor.feedback.store.words import MAX_TEXT, checked_text, storable
from preceptor.text.conversation import Message

MAX_ID = 500
MAX_MESSAGES = 1000
DEMONSTRATION_MODEL = "demonstration"  # whose a response is that a person wrote


def add_prompt_rows(
    connection: Connection, now: datetime, prompts: Sequence[Prompt], *, where: str, author_id: int | None = None
) -> int:
    """Insert the prompts that are not there yet; how many were. At most some hundreds at once.

    A prompt that is there under the same id must say the same (:class:`StaleError`); prompts of users who were
    forgotten stay away, without a word.
    """
    wanted = {prompt.id: prompt for prompt in prompts}
    query = select(StoredPrompt.id, StoredPrompt.messages).where(StoredPrompt.id.in_(list(wanted)))
    there = {row.id: row.messages for row in connection.execute(query)}
    rows: dict[str, dict[str, Any]] = {}
    for prompt in prompts:
        messages = stored_messages(prompt, where)
        other = there.get(prompt.id) or rows.get(prompt.id, {}).get("messages")
        if other is not None and other != messages:
            raise StaleError(f"{where}: the store has another prompt under the id {prompt.id!r}; give this one its own")
        if other is None and not is_forgotten(connection, prompt.user):
            rows[prompt.id] = {
                **prompt.model_dump(include={"id", "user", "source", "kind", "created"}),
                "messages": messages,
                "author_id": author_id,
                "added_at": now,
            }
    if rows:
        connection.execute(insert(StoredPrompt), list(rows.values()))
    return len(rows)


def stored_messages(prompt: Prompt, where: str) -> list[dict[str, str]]:
    """The messages as they are kept; :class:`InvalidError` if one is too long or holds what no text should."""
    check_messages(prompt.messages, where)
    for name in ("id", "user", "source", "kind", "created"):
        checked_text(getattr(prompt, name), f"{where}: {name}", MAX_ID)
    return [{"role": message.role, "content": message.content} for message in prompt.messages]


def check_messages(messages: Sequence[Message], where: str) -> None:
    """Refuse more messages than anybody reads, and texts that cannot be kept."""
    if len(messages) > MAX_MESSAGES:
        raise InvalidError(f"{where}: {len(messages):,} messages are too many; give at most {MAX_MESSAGES:,}")
    for message in messages:
        checked_text(message.content, f"{where}: a message", MAX_TEXT)


def find_responses(
    connection: Connection,
    now: datetime,
    prompt_id: str,
    responses: Sequence[Response],
    *,
    author_id: int | None = None,
) -> list[int]:
    """The number of each response, new where it is not there yet. The same model and text twice are two responses."""
    hashes = [text_hash(one.text) for one in responses]
    query = (
        select(StoredResponse.id, StoredResponse.model, StoredResponse.text)
        .where(
            StoredResponse.prompt_id == prompt_id,
            StoredResponse.text_hash.in_(hashes),
            StoredResponse.author_id.is_(None) if author_id is None else StoredResponse.author_id == author_id,
        )
        .order_by(StoredResponse.id)
    )
    there: dict[tuple[str, str], list[int]] = {}
    for row in connection.execute(query):
        there.setdefault((row.model, row.text), []).append(row.id)
    numbers = []
    for one, hashed in zip(responses, hashes, strict=True):
        free = there.get((one.model, one.text), [])
        numbers.append(free.pop(0) if free else _add_response(connection, now, prompt_id, one, hashed, author_id))
    return numbers


def _add_response(
    connection: Connection, now: datetime, prompt_id: str, response: Response, hashed: str, author_id: int | None
) -> int:
    if len(response.text) > MAX_TEXT:
        raise InvalidError(
            f"prompt {prompt_id}: a response of {len(response.text):,} characters; give at most {MAX_TEXT:,}"
        )
    values = {
        "prompt_id": prompt_id,
        "text": storable(response.text),
        "text_hash": hashed,
        "model": checked_text(response.model, "model", MAX_ID),
        "author_id": author_id,
        "added_at": now,
    }
    return connection.execute(insert(StoredResponse).values(values).returning(StoredResponse.id)).scalar_one()


def text_hash(text: str) -> str:
    """Texts that look the same have the same hash: outer spaces do not count."""
    return hashlib.blake2b(text.strip().encode("utf-8", "replace"), digest_size=16).hexdigest()
