"""PandaLM's test set: two responses to an instruction, judged by several annotators, ties allowed.

``annotator1``, ``annotator2``, ... are 1 if the first response is better, 2 if the second is, 0 for a
tie. Each annotator's judgement is a ranking of its own, so that their agreement can be measured. Some responses
stand in the file as JSON's true, where a model had answered "True"; they are that word again here. Where a
model had answered nothing, the annotators have judged that, and it stays.
"""

import re
from typing import Any

from pydantic import BaseModel, Field

from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place, validate
from preceptor.feedback.readers.turns import add_ranking
from preceptor.feedback.schema import Response
from preceptor.text.conversation import Message

PANDALM = '{"instruction", "input", "response1", "response2", "annotator1": 0, 1 or 2, ...}'
RANKS = {0: [1, 1], 1: [1, 2], 2: [2, 1]}


class Judged(BaseModel):
    """A record; fields that are not needed are ignored."""

    instruction: str = Field(min_length=1)
    input: str | None = ""
    response1: str | bool | int | float
    response2: str | bool | int | float
    cmp_key: str = ""


def is_judged(record: dict[str, Any]) -> bool:
    """Whether a record is one of PandaLM's."""
    return {"instruction", "response1", "response2"} <= record.keys() and bool(_annotators(record))


def read_judged(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add the ranking of each annotator."""
    row = validate(Judged, record, place, "a record is " + PANDALM)
    content = "\n\n".join(part for part in (row.instruction.strip(), (row.input or "").strip()) if part)
    models = row.cmp_key.split("_") if row.cmp_key.count("_") == 1 else ["first", "second"]
    texts = (str(row.response1), str(row.response2))
    responses = [Response(text=text, model=model) for text, model in zip(texts, models, strict=True)]
    for name in _annotators(record):
        judged = str(record[name])
        if judged not in ("0", "1", "2"):
            raise place.error(f"{name}: must be 0 for a tie, 1 or 2 for the better one; a record is {PANDALM}")
        messages = [Message(role="user", content=content)]
        add_ranking(messages, responses, RANKS[int(judged)], "pandalm", place, into, labeler=name, keep_blank=True)


def _annotators(record: dict[str, Any]) -> list[str]:
    return [name for name in record if re.fullmatch(r"annotator_?\d+", name)]
