"""What requests may say. A field that is not here is refused by name, not ignored."""

import secrets
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from preceptor.text.conversation import Message

MAX_SAMPLES = 16  # of a prompt
MAX_PROMPTS = 32
MAX_CHOICES = 64  # of a request
# What clients send although it asks for nothing; it is taken as not sent, and so is null.
NOTHING: dict[str, Any] = {
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "suffix": "",
    "echo": False,
    "response_format": {"type": "text"},
}


def _or_else(message: str) -> WrapValidator:
    """One message where a value may have several forms and has none of them."""

    def check(value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("form", message) from None

    return WrapValidator(check)


Token = Annotated[int, Field(ge=0, lt=2**31)]
Tokens = Annotated[list[Token], Field(min_length=1)]
_StopText = Annotated[str, Field(min_length=1, max_length=200)]
Stop = Annotated[
    _StopText | Annotated[list[_StopText], Field(max_length=4)],
    _or_else("must be a text of 1 to 200 characters, or a list of up to 4 of them"),
]
Prompt = Annotated[
    str
    | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)]
    | Tokens
    | Annotated[list[Tokens], Field(min_length=1, max_length=MAX_PROMPTS)],
    _or_else(f"must be a text or a list of token ids, or a list of up to {MAX_PROMPTS} of either"),
]


class Strict(BaseModel):
    """What a body, or a part of one, may say: nothing else, and every value of the kind that is written here."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(Strict):
    """What a stream ends with."""

    include_usage: bool = False


class TextRequest(Strict):
    """What every request for text may say, with the names and defaults of OpenAI's API; ``top_k`` is ours."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(1, ge=1, le=MAX_SAMPLES)
    stop: Stop | None = None
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, le=2**31)
    max_tokens: int | None = Field(None, ge=1, le=2**31)
    seed: int = Field(default_factory=lambda: secrets.randbits(31), ge=0, lt=2**63)
    user: str | None = None  # part of the API, and of no use to us: it is never stored

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nothing(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {key: value for key, value in body.items() if value is not None and NOTHING.get(key, ...) != value}

    @property
    def stops(self) -> list[str]:
        """The stop strings."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def longest(self) -> int | None:
        """Most tokens of a response, where the request says so."""
        return self.max_tokens

    @property
    def says_longest(self) -> bool:
        """Whether :attr:`longest` is the client's wish and not a default."""
        return not self.model_fields_set.isdisjoint({"max_tokens", "max_completion_tokens"})

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with what it cost."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(TextRequest):
    """The body of ``POST /v1/chat/completions``; ``best_of`` and ``truncate`` are ours."""

    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    best_of: int | None = Field(None, ge=1, le=MAX_SAMPLES)
    truncate: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.top_logprobs is not None and not self.logprobs:
            raise PydanticCustomError("together", "top_logprobs needs logprobs: true")
        if self.best_of is not None and self.best_of < self.n:
            raise PydanticCustomError("together", "best_of must be at least n")
        return self

    @property
    def longest(self) -> int | None:
        """See :class:`TextRequest`."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def alternatives(self) -> int | None:
        """How many likely tokens are told beside each; None: not even its own log-probability."""
        return (self.top_logprobs or 0) if self.logprobs else None


class CompletionRequest(TextRequest):
    """The body of ``POST /v1/completions``."""

    prompt: Prompt
    max_tokens: int | None = Field(16, ge=1, le=2**31)
    logprobs: int | None = Field(None, ge=0, le=5)

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if len(self.prompts) * self.n > MAX_CHOICES:
            raise PydanticCustomError("together", f"n for each prompt makes more than {MAX_CHOICES} choices")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, as text or token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        texts_or_ids = [one for one in self.prompt if not isinstance(one, int)]
        return texts_or_ids or [[one for one in self.prompt if isinstance(one, int)]]
