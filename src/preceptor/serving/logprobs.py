"""Log-probabilities as OpenAI's clients read them.

They are the model's own, at temperature 1 with nothing cut, whatever the request's temperature, top_p and top_k: what
was drawn under other settings may well have been unlikely. The end token is no text and is not among the tokens.
"""

from collections.abc import Sequence
from typing import Any

from preceptor.serving.writer import Chosen, Piece
from preceptor.text.tokenizer import Tokenizer


class TokenLog:
    """The tokens of one response, each told with the piece that holds the beginning of its text.

    So tokens of a stop string, and any behind it, are not told.
    """

    def __init__(self) -> None:
        self._waiting: list[Chosen] = []
        self._said = 0  # characters

    def push(self, piece: Piece) -> list[Chosen]:
        """The tokens that the piece's text holds."""
        self._waiting += piece.chosen
        self._said += len(piece.text)
        told = [one for one in self._waiting if one.start < self._said]
        del self._waiting[: len(told)]
        return told


def chat_logprobs(tokenizer: Tokenizer, chosen: Sequence[Chosen]) -> dict[str, Any]:
    """``choices[].logprobs`` of a chat."""
    return {
        "content": [
            {
                **_token(tokenizer, one.token, one.likely.logprob),
                "top_logprobs": [_token(tokenizer, *pair) for pair in one.likely.top],
            }
            for one in chosen
        ],
        "refusal": None,
    }


def text_logprobs(tokenizer: Tokenizer, chosen: Sequence[Chosen]) -> dict[str, Any]:
    """``choices[].logprobs`` of a completion: the older form, with the drawn token always among the likely ones."""
    top = [[*one.likely.top, (one.token, one.likely.logprob)] for one in chosen]
    return {
        "tokens": [_text(tokenizer, one.token) for one in chosen],
        "token_logprobs": [one.likely.logprob for one in chosen],
        "top_logprobs": [{_text(tokenizer, token): logprob for token, logprob in pairs} for pairs in top],
        "text_offset": [one.start for one in chosen],
    }


def _token(tokenizer: Tokenizer, token: int, logprob: float) -> dict[str, Any]:
    written = tokenizer.bytes_of(token)
    return {
        "token": _text(tokenizer, token),
        "logprob": logprob,
        "bytes": None if written is None else list(written),
    }


def _text(tokenizer: Tokenizer, token: int) -> str:
    """A token to look at: its text, its name if it has none, and its bytes if they are part of a character."""
    written = tokenizer.bytes_of(token)
    if written is None:
        return tokenizer.name_of(token)
    try:
        return written.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in written)
