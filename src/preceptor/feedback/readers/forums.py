"""Comparisons from forums: SHP's pairs of replies and OpenAI's comparisons of summaries.

SHP (Stanford Human Preferences) has ``history``, the post; two replies; ``labels`` 1 if the first was the one
that readers preferred, else 0. summarize-from-feedback has ``info``, the post or article; two
``summaries``; ``choice``, the index of the better; ``worker``, the labeler. The prompt of a summary is laid out as
Stiennon et al. (2020), appendix B, do, with "TL;DR:" at its end.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field

from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place, validate
from preceptor.feedback.readers.turns import BLANK, UnusableError, add_ranking
from preceptor.feedback.schema import Response
from preceptor.text.conversation import Message

SHP = '{"history", "human_ref_A", "human_ref_B", "labels": 1 or 0}'
SUMMARIES = '{"info": {"post" or "article", ...}, "summaries": [{"text", "policy"}, {...}], "choice": 0 or 1, "worker"}'


class Pair(BaseModel):
    """A record of SHP; fields that are not needed are ignored."""

    history: str
    human_ref_A: str  # noqa: N815 - the dataset's own name
    human_ref_B: str  # noqa: N815
    labels: Literal[0, 1]


class Info(BaseModel):
    """What was summarised."""

    post: str | None = None
    article: str | None = None
    title: str | None = None
    subreddit: str | None = None


class Summary(BaseModel):
    """One summary and what wrote it."""

    text: str
    policy: str | None = ""


class Comparison(BaseModel):
    """A record of summarize-from-feedback; fields that are not needed are ignored."""

    info: Info
    summaries: list[Summary] = Field(min_length=2, max_length=2)
    choice: Literal[0, 1]
    worker: str | None = ""


def is_shp(record: dict[str, Any]) -> bool:
    """Whether a record is a pair of SHP."""
    return {"history", "human_ref_A", "human_ref_B"} <= record.keys()


def is_summaries(record: dict[str, Any]) -> bool:
    """Whether a record compares two summaries."""
    return {"info", "summaries"} <= record.keys()


def read_shp(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one pair of replies."""
    row = validate(Pair, _numbers(record, "labels"), place, "a record is " + SHP)
    if not row.history.strip():
        raise UnusableError(BLANK)
    responses = [Response(text=text, model="human") for text in (row.human_ref_A, row.human_ref_B)]
    ranks = [1, 2] if row.labels == 1 else [2, 1]
    add_ranking([Message(role="user", content=row.history.strip())], responses, ranks, "shp", place, into)


def read_summaries(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one comparison of two summaries."""
    row = validate(Comparison, _numbers(record, "choice"), place, "a record is " + SUMMARIES)
    text = row.info.post or row.info.article or ""
    if not text.strip():
        raise UnusableError(BLANK)
    parts = [("SUBREDDIT: r/", row.info.subreddit), ("TITLE: ", row.info.title)]
    lines = [name + value.strip() for name, value in parts if value and value.strip()]
    content = "\n\n".join([*lines, ("POST: " if row.info.post else "") + text.strip(), "TL;DR:"])
    responses = [Response(text=summary.text, model=summary.policy or "") for summary in row.summaries]
    ranks = [1, 2] if row.choice == 0 else [2, 1]
    messages = [Message(role="user", content=content)]
    add_ranking(messages, responses, ranks, "summaries", place, into, row.worker or "", kind="summarization")


def _numbers(record: dict[str, Any], field: str) -> dict[str, Any]:
    """The record with a number that CSV has as text as a number."""
    value = record.get(field)
    return {**record, field: int(value)} if isinstance(value, str) and value.strip() in ("0", "1") else record
