"""What a chat request may say. A field that is not here is refused by name, not ignored."""

import secrets
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from preceptor.text.conversation import Message

MAX_SAMPLES = 16
Stop = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(_Strict):
    """What a stream ends with."""

    include_usage: bool = False


class ChatRequest(_Strict):
    """The body of ``POST /v1/chat/completions``, with the names and defaults of OpenAI's API; ``top_k`` is ours."""

    model: str
    messages: list[Message] = Field(min_length=1, max_length=1000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int = Field(1, ge=1, le=MAX_SAMPLES)
    stop: Stop | Annotated[list[Stop], Field(max_length=4)] | None = None
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, le=2**31)
    max_tokens: int | None = Field(None, ge=1, le=2**31)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31)
    seed: int = Field(default_factory=lambda: secrets.randbits(31), ge=0, lt=2**63)
    user: str | None = None  # part of the API, and of no use to us: it is never stored
    logprobs: Literal[False] | None = None

    @property
    def stops(self) -> list[str]:
        """The stop strings."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def longest(self) -> int | None:
        """Most tokens of a response, where the request says so."""
        return self.max_completion_tokens or self.max_tokens
