"""Writing a store as files of the documented formats, with pseudonyms for everybody in them."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel

from preceptor.errors import InputError
from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.judged import read_demonstrations, read_prompts, read_rankings, read_ratings
from preceptor.feedback.store.settings import pseudonym, setting
from preceptor.files import directory_atomic

Exported = Literal["prompts", "demonstrations", "rankings", "comparisons", "ratings"]
FILES: tuple[Exported, ...] = get_args(Exported)
MADE_BY = "export.json"


def export(store: Store, out: Path, *, key: str | None = None, queue: str | None = None) -> dict[str, int]:
    """Write ``prompts.jsonl``, ``demonstrations.jsonl``, ``rankings.jsonl``, ``comparisons.jsonl``, ``ratings.jsonl``.

    What counts now is written, honeypots left out. Users and labelers appear under pseudonyms, made by a hash with
    ``key`` (default: the store's own, so that each export calls a person the same); ids of prompts stay, for
    `forget` must find them again. ``queue`` restricts rankings, comparisons and ratings. The directory appears
    whole or not at all; an earlier export in it is replaced, anything else is refused. Returns the lines of each file.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MADE_BY).exists())):
        raise InputError(f"{out}: is there and holds no export; name a new directory")
    if key is None:
        with store.reading() as connection:
            key = setting(connection, "pseudonym_key")
    rows = ExportRows(store, key, queue)
    counts: dict[str, int] = {}
    with directory_atomic(out) as partial:
        for name in FILES:
            counts[name] = _write(partial / f"{name}.jsonl", getattr(rows, name)())
        (partial / MADE_BY).write_text(json.dumps({"lines": counts, "pseudonymised": True}, indent=2) + "\n")
    return counts


class ExportRows:
    """The rows of each file, people renamed."""

    def __init__(self, store: Store, key: str, queue: str | None) -> None:
        self._store, self._key, self._queue = store, key, queue

    def prompts(self) -> Iterator[BaseModel]:
        for prompt in read_prompts(self._store):
            yield prompt.model_copy(update={"user": self._user(prompt.user, prompt.id)})

    def demonstrations(self) -> Iterator[BaseModel]:
        for demonstration, _ in read_demonstrations(self._store):
            yield demonstration.model_copy(update={"labeler": self._labeler(demonstration.labeler)})

    def rankings(self) -> Iterator[BaseModel]:
        for judged in read_rankings(self._store, queue=self._queue):
            yield judged.ranking.model_copy(update={"labeler": self._labeler(judged.ranking.labeler)})

    def comparisons(self) -> Iterator[BaseModel]:
        for judged in read_rankings(self._store, queue=self._queue, kind="comparison"):
            yield judged.ranking.model_copy(update={"labeler": self._labeler(judged.ranking.labeler)})

    def ratings(self) -> Iterator[BaseModel]:
        for rating, _ in read_ratings(self._store, queue=self._queue):
            yield rating.model_copy(update={"labeler": self._labeler(rating.labeler)})

    def _labeler(self, name: str) -> str:
        return pseudonym(self._key, "labeler", name) if name else ""

    def _user(self, user: str, prompt_id: str) -> str:
        """A prompt that is its own user's stays so, or its id would look like somebody."""
        return user if user == prompt_id else pseudonym(self._key, "user", user)


def _write(path: Path, rows: Iterable[BaseModel]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            value: dict[str, Any] = row.model_dump(mode="json", exclude_none=True)
            file.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count
