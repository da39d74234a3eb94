"""What a labeler sends for each kind of task, and what is no answer at all."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from preceptor.feedback.pairs import dense_ranks
from preceptor.feedback.schema import FLAGS, UseCase
from preceptor.text.conversation import Message

# How a labeler comes by a prompt: any task she thinks of; an instruction with examples of it; one such as a user's
# stated use case calls for (InstructGPT, appendix A.1). And how the prompt asks (appendix A.2.1).
Form = Literal["plain", "few-shot", "user-based"]
Way = Literal["direct", "examples", "continuation"]
MIN_EXAMPLES = 2


class Payload(BaseModel):
    """An answer to a task. Unknown fields are refused; ``note`` is for the reviewers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    note: str = ""


class DemonstrationPayload(Payload):
    """The reply that the labeler would want from the assistant."""

    kind: Literal["demonstration"] = "demonstration"
    text: str

    @field_validator("text")
    @classmethod
    def _not_empty(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the demonstration is empty; write the reply")
        return text


class Example(BaseModel):
    """A query and the response to it, as a prompt shows the model what is wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str
    response: str


class PromptPayload(Payload):
    """A prompt that the labeler made up.

    ``text`` is the request itself: the instruction (direct), what comes before the examples (may be empty), or the
    beginning that is to be continued. ``query`` is what follows the examples.
    """

    kind: Literal["prompt"] = "prompt"
    use_case: UseCase
    form: Form = "plain"
    way: Way = "direct"
    text: str = ""
    examples: list[Example] = []
    query: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.form == "few-shot" and self.way != "examples":
            raise ValueError('a few-shot prompt asks by examples; send way = "examples"')
        if self.way == "examples":
            if len(self.examples) < MIN_EXAMPLES:
                raise ValueError(f"a prompt by examples needs at least {MIN_EXAMPLES} of them")
            if any(not one.query.strip() or not one.response.strip() for one in self.examples):
                raise ValueError("an example needs a query and a response")
            if not self.query.strip():
                raise ValueError("a prompt by examples ends with a query; write one")
        elif self.examples or self.query:
            raise ValueError('examples and a query belong to way = "examples"')
        elif not self.text.strip():
            raise ValueError("the prompt is empty; write it")
        return self

    def messages(self) -> list[Message]:
        """The prompt as the model will read it: one message of the user."""
        if self.way != "examples":
            return [Message(role="user", content=self.text)]
        shown = [f"{one.query.strip()}\n{one.response.strip()}" for one in self.examples]
        parts = [self.text.strip(), *shown, self.query.strip()]
        return [Message(role="user", content="\n\n".join(part for part in parts if part))]


class OutputRating(BaseModel):
    """One output by itself: overall from 1 to 7, and the flags that are true of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    overall: int = Field(ge=1, le=7, strict=True)
    flags: list[str] = []

    @field_validator("flags")
    @classmethod
    def _known(cls, flags: list[str]) -> list[str]:
        unknown = [flag for flag in flags if flag not in FLAGS]
        if unknown:
            raise ValueError(f"no such flag: {unknown[0][:50]!r}; the flags are {', '.join(FLAGS)}")
        return [flag for flag in FLAGS if flag in flags]


class RankingPayload(Payload):
    """Ratings and ranks of the outputs, in the order in which they were shown. 1 is best, equal ranks are a tie."""

    kind: Literal["ranking"] = "ranking"
    ranks: list[Annotated[int, Field(strict=True)]]
    ratings: list[OutputRating] = []
    all_bad: bool = False

    @field_validator("ranks")
    @classmethod
    def _a_ranking(cls, ranks: list[int]) -> list[int]:
        if not ranks or min(ranks) != 1 or max(ranks) > len(ranks):
            raise ValueError("ranks count from 1, the best, to at most the number of outputs")
        return dense_ranks([-rank for rank in ranks])

    @model_validator(mode="after")
    def _one_rating_each(self) -> Self:
        if self.ratings and len(self.ratings) != len(self.ranks):
            raise ValueError(f"{len(self.ratings)} ratings for {len(self.ranks)} outputs; rate each")
        return self


class ComparisonPayload(Payload):
    """Which of the two outputs shown is better."""

    kind: Literal["comparison"] = "comparison"
    preferred: Literal["first", "second", "tie"]

    def ranks(self) -> list[int]:
        """As ranks of the two."""
        return {"first": [1, 2], "second": [2, 1], "tie": [1, 1]}[self.preferred]


AnyPayload = Annotated[
    DemonstrationPayload | PromptPayload | RankingPayload | ComparisonPayload, Field(discriminator="kind")
]
