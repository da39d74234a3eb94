"""The public formats: what people give, one JSON object a line (docs/formats.md)."""

from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from preceptor.text.conversation import Message

# The eleven yes-or-no questions about a response (InstructGPT, appendix B, table 11). All but "satisfies_constraint"
# name a fault or something to be careful with.
FLAGS = (
    *("fails_instruction", "inappropriate", "hallucination", "satisfies_constraint", "sexual", "violent"),
    *("encourages_harm", "denigrates", "harmful_advice", "opinion", "moral_judgement"),
)

# What prompts ask for (InstructGPT, table 1), the most frequent first.
UseCase = Literal[
    "generation",
    "open_qa",
    "brainstorming",
    "chat",
    "rewrite",
    "summarization",
    "classification",
    "closed_qa",
    "extraction",
    "other",
]
USE_CASES: tuple[UseCase, ...] = get_args(UseCase)

CHAT = "chat"  # the source of what people do on the chat page


class Record(BaseModel):
    """A line of a file. Unknown fields are kept out so that a typing error is seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Document(Record):
    """A text to pretrain on."""

    text: str


class Prompt(Record):
    """What a user asked: messages that end with the user's turn."""

    id: str
    user: str
    messages: list[Message] = Field(min_length=1)
    source: str = ""
    kind: str = "other"
    created: str = ""

    @model_validator(mode="after")
    def _ends_with_the_user(self) -> Self:
        if self.messages[-1].role != "user":
            raise ValueError("a prompt must end with a message of the user")
        return self


class Demonstration(Record):
    """A conversation that a labeler finished: the last message is the assistant's."""

    prompt_id: str
    messages: list[Message] = Field(min_length=2)
    labeler: str = ""

    @model_validator(mode="after")
    def _ends_with_the_assistant(self) -> Self:
        if self.messages[-1].role != "assistant" or not self.messages[-1].content.strip():
            raise ValueError("a demonstration must end with a message of the assistant that is not empty")
        return self


class Response(Record):
    """One output for a prompt and the name of the model (or person) that gave it."""

    text: str
    model: str = ""


class Sample(Record):
    """K responses to one prompt, not yet judged. What `sample` writes and `rank` reads."""

    prompt_id: str
    messages: list[Message] = Field(min_length=1)
    responses: list[Response] = Field(min_length=2)


class Ranking(Sample):
    """K responses as one labeler ordered them: ranks[k] belongs to responses[k], 1 is best.

    Equal ranks are a tie. ``source`` says where it comes from; figures are given for each source.
    """

    ranks: list[int]
    labeler: str = ""
    source: str = ""

    @model_validator(mode="after")
    def _one_rank_a_response(self) -> Self:
        if len(self.ranks) != len(self.responses):
            raise ValueError(f"{len(self.ranks)} ranks for {len(self.responses)} responses; give each response one")
        if min(self.ranks) < 1:
            raise ValueError("ranks count from 1")
        return self


class Rating(Record):
    """One labeler's Likert rating (1 to 7) of one response, with the binary flags.

    ``source`` says where it comes from: of ``chat`` it is a thumb, 6 for up and 2 for down, and nobody was asked for
    flags.
    """

    prompt_id: str
    response: str
    model: str = ""
    overall: int = Field(ge=1, le=7)
    flags: dict[str, bool] = {}
    labeler: str = ""
    source: str = ""
