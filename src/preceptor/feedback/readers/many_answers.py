"""K answers to one prompt, rated or ranked by a model or by people: UltraFeedback and Nectar.

UltraFeedback has ``instruction`` and ``completions``, each with ratings from 1 to 5 of four aspects and an
``overall_score``. Ranks follow the mean of the aspects where every completion has them: the overall scores are known
to be wrong in part (a 1 was read as a 10). Without them they follow the overall scores. Equal means are a tie. What
system prompt each model was shown is left out, since a ranking has one prompt.

Nectar has ``prompt``, a transcript or a text, and ``answers`` with a ``rank`` each, 1 best.
"""

from statistics import fmean
from typing import Any

from pydantic import BaseModel, Field

from preceptor.feedback.pairs import dense_ranks
from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place, validate
from preceptor.feedback.readers.turns import UnusableError, add_ranking, is_transcript, messages_of, transcript
from preceptor.feedback.schema import Response
from preceptor.text.conversation import Message

ULTRAFEEDBACK = '{"instruction", "completions": [{"response", "model", "annotations" or "overall_score"}, ...]}'
NECTAR = '{"prompt", "answers": [{"answer", "model", "rank"}, ...]}'
UNRATED = "answers of which not all are rated"


class Completion(BaseModel):
    """One answer of UltraFeedback."""

    response: str
    model: str = ""
    overall_score: float | None = None
    annotations: dict[str, Any] = {}

    @property
    def mean_rating(self) -> float | None:
        """The mean over the aspects; None unless every aspect is rated ("N/A" is no rating)."""
        given: list[Any] = [aspect.get("Rating") for aspect in self.annotations.values() if isinstance(aspect, dict)]
        try:
            return fmean(float(rating) for rating in given) if given else None
        except (TypeError, ValueError):
            return None


class UltraFeedback(BaseModel):
    """A record of UltraFeedback; fields that are not needed are ignored."""

    instruction: str = Field(min_length=1)
    completions: list[Completion]
    source: str = ""


class Ranked(BaseModel):
    """One answer of Nectar."""

    answer: str
    model: str | None = ""
    rank: float


class Nectar(BaseModel):
    """A record of Nectar; fields that are not needed are ignored."""

    prompt: Any
    answers: list[Ranked]


def is_ultrafeedback(record: dict[str, Any]) -> bool:
    """Whether a record is one of UltraFeedback."""
    return {"instruction", "completions"} <= record.keys()


def is_nectar(record: dict[str, Any]) -> bool:
    """Whether a record is a prompt with ranked answers."""
    return {"prompt", "answers"} <= record.keys()


def read_ultrafeedback(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one ranking by ratings."""
    row = validate(UltraFeedback, record, place, "a record is " + ULTRAFEEDBACK)
    means = [completion.mean_rating for completion in row.completions]
    if None in means:
        means = [completion.overall_score for completion in row.completions]
    points = [mean for mean in means if mean is not None]
    if len(points) < len(means):
        raise UnusableError(UNRATED)
    messages = [Message(role="user", content=row.instruction.strip())]
    responses = [Response(text=completion.response, model=completion.model) for completion in row.completions]
    add_ranking(messages, responses, dense_ranks(points), "ultrafeedback", place, into)


def read_nectar(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add one ranking by ranks."""
    row = validate(Nectar, record, place, "a record is " + NECTAR)
    if is_transcript(row.prompt):
        messages = transcript(row.prompt)
    elif isinstance(row.prompt, str):
        messages = [Message(role="user", content=row.prompt.strip())]
    else:
        messages = messages_of(row.prompt, place, "prompt")
    responses = [Response(text=answer.answer, model=answer.model or "") for answer in row.answers]
    ranks = dense_ranks([-answer.rank for answer in row.answers])
    add_ranking(messages, responses, ranks, "nectar", place, into)
