"""QA-feedback (Wu et al. 2023, "Fine-grained human feedback"): long answers compared in pairs.

A record has a question, passages to answer from, four answers of models, and what people
preferred in each of the six pairs. The file does not name the pairs; they are in the order
01, 02, 03, 12, 13, 23: with it, no strict preference of the 500 records at hand contradicts
another, and with the other natural order one prompt in three does. 0 is a tie, 1 the first of the
pair, 2 the second. Pairs become ranks by :func:`preceptor.feedback.pairs.ranks_from_pairs`, which
says what happens to preferences that no ranking can have; pairs whose judgement a ranking
cannot keep are counted as skipped.

The reference answer ("gold") is a demonstration.
"""

import hashlib
from itertools import combinations
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from preceptor.feedback.pairs import pairs_from_ranks, ranks_from_pairs
from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place, validate
from preceptor.feedback.schema import Demonstration, Prompt, Ranking, Response
from preceptor.text.conversation import Message

SOURCE = "qa-feedback"
ANSWERS = 4
PAIRS = list(combinations(range(ANSWERS), 2))
MEND = (
    'a record is {"question", "passages", "prediction 1" to "prediction 4", '
    '"preference": six of 0, 1, 2 for the pairs 01, 02, 03, 12, 13, 23}'
)


class Record(BaseModel):
    """A record of the file; fields that are not needed are ignored."""

    model_config = ConfigDict(populate_by_name=False)

    question: str = Field(min_length=1)
    passages: list[list[str]] = []
    gold: str = ""
    prediction_1: str = Field(alias="prediction 1")
    prediction_2: str = Field(alias="prediction 2")
    prediction_3: str = Field(alias="prediction 3")
    prediction_4: str = Field(alias="prediction 4")
    preference: list[Literal[0, 1, 2]] = Field(min_length=len(PAIRS), max_length=len(PAIRS))


def is_record(record: dict[str, Any]) -> bool:
    """Whether a record is one of QA-feedback."""
    return "question" in record and ("preference" in record or "prediction 1" in record)


def read_record(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add the prompt, the demonstration and the ranking of one record."""
    row = validate(Record, record, place, MEND)
    # The question comes last: a prompt that is too long loses its beginning.
    parts = [*map(_passage, row.passages), f"Question: {row.question.strip()}"]
    messages = [Message(role="user", content="\n\n".join(part for part in parts if part))]
    # The format has no ids. Those made from the words stay when the file is cut or sorted.
    prompt = Prompt(
        id=f"qa-{_digest(messages[0].content)}",
        user=f"qa-{_digest(row.question)}",
        messages=messages,
        source=SOURCE,
        kind="closed_qa" if row.passages else "open_qa",
    )
    into.add_prompt(prompt, place)
    if row.gold.strip():
        answer = Message(role="assistant", content=row.gold.strip())
        into.demonstrations.append(Demonstration(prompt_id=prompt.id, messages=[*messages, answer]))
    texts = (row.prediction_1, row.prediction_2, row.prediction_3, row.prediction_4)
    judged = dict(zip(PAIRS, row.preference, strict=True))
    ranks = ranks_from_pairs(judged, ANSWERS)
    kept = pairs_from_ranks(ranks)
    changed = sum(kept[pair] != judged[pair] for pair in PAIRS)
    into.skip("rankings", "pairs whose judgement a ranking cannot keep", changed)
    responses = [Response(text=text.strip(), model=f"prediction {k}") for k, text in enumerate(texts, start=1)]
    into.rankings.append(Ranking(prompt_id=prompt.id, messages=messages, responses=responses, ranks=ranks))


def _passage(passage: list[str]) -> str:
    """``Title: sentences``; the first string of a passage is its title, often repeated by the second."""
    if not passage:
        return ""
    title, *sentences = (sentence.strip() for sentence in passage)
    text = " ".join(sentences).removeprefix(title).strip()
    return f"{title}: {text}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
