"""Conversations and the one place that knows how they become token ids.

The format is the tokenizer's: the model's own chat template, or our layout (see `layout`). Text is encoded with special
tokens disabled, so nobody can type a role marker. A prompt ends where the model writes on; what it should write is a
text and the end of its turn, and there a conversation ends too: the newline that many templates put behind is left out,
since no response has it and a reward model reads the last token.

A limit of the other route: Hugging Face's `apply_chat_template` makes one string that is tokenized as a whole, so a
marker typed in a message becomes the real marker there. For all other text both routes give the same ids, save
for a reply that begins with white space which the tokenizer would join with the template's own: here a prompt's ids do
not depend on the reply. Where messages come from people who are not trusted, use :func:`render_prompt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from preceptor.errors import InputError
from preceptor.text.layout import Fixed, Role, Run

if TYPE_CHECKING:
    from preceptor.text.tokenizer import Tokenizer


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as tokens. ``mask[i]`` says whether ``ids[i]`` is a token the model learns to write."""

    ids: list[int]  # (T,)
    mask: list[bool]  # (T,)
    truncated: bool  # something was cut; stages count these


@dataclass(slots=True)
class _Piece:
    """Tokens next to each other: of one message's text, or of the format."""

    ids: list[int]
    message: int | None
    trained: bool


def render(tokenizer: Tokenizer, messages: Sequence[Message], max_length: int | None = None) -> Rendered:
    """Render a conversation that ends with the assistant.

    The mask is true on what the model writes, the text and the end token of every assistant turn, and nowhere else.

    What is longer than ``max_length`` tokens is cut, in this order, until it fits:

    1. whole exchanges (everything up to and including one reply), oldest first; the leading system
       messages stay;
    2. in the last exchange, the prompt's text from its left, then the system's text from its left
       (a message without text left goes, except the one the reply answers; with a chat template also where it
       demands the message, or would put a longer one of its own in its place);
    3. the reply from its right, its end token first: a model must not learn to stop where we cut.

    At least one trained token always remains. Errors: no message, a last message that is not the
    assistant's, roles that the chat template refuses, or a ``max_length`` that cannot hold the markers and one
    trained token.
    """
    _check_last(messages, "assistant", "a conversation to learn from")
    return _fit(tokenizer, messages, max_length)


def render_prompt(tokenizer: Tokenizer, messages: Sequence[Message], max_length: int | None = None) -> Rendered:
    """Render a conversation that ends with the user, up to where the model writes.

    The mask is false throughout. ``render(messages + [reply])`` begins with exactly these ids when nothing
    is cut. Cutting is as in :func:`render`, and keeps at least one token of the last message's text.
    """
    _check_last(messages, "user", "a prompt")
    return _fit(tokenizer, messages, max_length)


def render_replies(
    tokenizer: Tokenizer, messages: Sequence[Message], replies: Sequence[str], max_length: int | None = None
) -> list[Rendered]:
    """Several replies to one prompt, each as :func:`render` would, but cut alike: their prompt stays one and the same.

    Cut one by one, each would keep as much of the prompt as its own length leaves: replies would be compared after
    different prompts, and what they share could not be computed once. So the prompt makes room for the longest reply,
    of which half of ``max_length`` counts at most. A reply that is cut ends all the same: what reads these compares
    them, and must not tell by a missing end which one was long.
    """
    talks = [[*messages, Message(role="assistant", content=reply)] for reply in replies]
    whole = [render(tokenizer, talk) for talk in talks]
    longest = max((len(one.ids) for one in whole), default=0)
    if max_length is None or longest <= max_length:
        return whole
    prompt = len(render_prompt(tokenizer, messages).ids)
    cut = max(0, prompt + min(longest - prompt, max_length // 2) - max_length)
    lengths = [min(max_length, len(one.ids) - cut) for one in whole]
    return [ended(tokenizer, render(tokenizer, talk, length)) for talk, length in zip(talks, lengths, strict=True)]


def ended(tokenizer: Tokenizer, rendered: Rendered) -> Rendered:
    """A conversation of :func:`render` with an end token in the place of its last, if its reply was cut."""
    learnt = [token for token, trained in zip(rendered.ids, rendered.mask, strict=True) if trained]
    if not rendered.truncated or learnt[-1] in tokenizer.eos_ids:
        return rendered
    return replace(rendered, ids=[*rendered.ids[:-1], tokenizer.eos_id])


def _check_last(messages: Sequence[Message], role: Role, what: str) -> None:
    if not messages:
        raise InputError(f"{what} has no messages; give it at least one")
    if messages[-1].role != role:
        raise InputError(f"{what} ends with a message of the {messages[-1].role}; end it with one of the {role}")


def _fit(tokenizer: Tokenizer, messages: Sequence[Message], max_length: int | None) -> Rendered:
    """Lay a conversation out and cut it to ``max_length``; a prompt is one whose reply is not begun."""
    fitting = _Fitting(tokenizer, messages)
    if max_length is None or fitting.size <= max_length:
        return fitting.rendered(truncated=False)
    fitting.cut_to(max_length)
    return fitting.rendered(truncated=True)


class _Fitting:
    """A conversation on its way to a length: which messages are kept, and how much of their text is cut."""

    def __init__(self, tokenizer: Tokenizer, messages: Sequence[Message]) -> None:
        self.tokenizer, self.is_prompt = tokenizer, messages[-1].role == "user"
        self.messages = [*messages, Message(role="assistant", content="")] if self.is_prompt else messages
        self.kept: Sequence[int] = range(len(self.messages))
        self.left: dict[int, int] = {}  # message -> tokens left of its text, where it is cut
        self.prompt: list[_Piece] = []
        self.reply: list[_Piece] = []
        self.lay()

    def lay(self) -> None:
        """Put the kept messages into the frame of their roles."""
        kept = self.kept
        messages = self.messages if len(kept) == len(self.messages) else [self.messages[i] for i in kept]
        frame = self.tokenizer.layout.frame(tuple([message.role for message in messages]))
        texts = [message.content for message in messages]
        if frame.strips:
            texts = [_stripped(text, *ends) for text, ends in zip(texts, frame.strips, strict=True)]
        self.prompt = self._pieces(frame.items[: frame.reply], texts)
        self.reply = [] if self.is_prompt else self._pieces(frame.items[frame.reply :], texts)
        for piece in self.prompt if self.left else ():
            if piece.message in self.left:
                del piece.ids[: max(len(piece.ids) - self.left[piece.message], 0)]

    def _pieces(self, items: Sequence[Fixed | Run], texts: Sequence[str]) -> list[_Piece]:
        pieces: list[_Piece] = []
        for item in items:
            if isinstance(item, Fixed):
                pieces.append(_Piece(list(item.ids), None, item.trained))
                continue
            spans = item.spans
            if len(spans) == 1 and isinstance(place := spans[0].text, int):
                ids = self.tokenizer.encode_after(item.opening, texts[place])
                pieces.append(_Piece(ids, self.kept[place], spans[0].trained))
                continue
            parts = [texts[span.text] if isinstance(span.text, int) else span.text for span in spans]
            for ids, number in self.tokenizer.encode_parts(item.opening, parts):
                text = spans[number].text
                pieces.append(_Piece(ids, self.kept[text] if isinstance(text, int) else None, spans[number].trained))
        return pieces

    @property
    def size(self) -> int:
        return _total(self.prompt) + _total(self.reply)

    def rendered(self, truncated: bool) -> Rendered:
        ids: list[int] = []
        mask: list[bool] = []
        for pieces in (self.prompt, self.reply):
            for piece in pieces:
                ids += piece.ids
                mask += [piece.trained and not self.is_prompt] * len(piece.ids)
        return Rendered(ids, mask, truncated)

    def cut_to(self, max_length: int) -> None:
        """The three rules of :func:`render`, in their order."""
        system, exchanges = _split(self.messages)
        while len(exchanges) > 1 and self.size > max_length:
            exchanges.pop(0)
            self.kept = [*system, *(i for exchange in exchanges for i in exchange)]
            self.lay()
        if self.size <= max_length:
            return
        ((*prompt, _),) = exchanges
        answered = prompt[-1] if prompt else None
        for index in [*prompt, *system]:
            if self.size <= max_length:
                return
            stays = index == answered
            self._cut_from_left(index, self.size - max_length, keep=1 if stays and self.is_prompt else 0)
            if not stays and not self._text_of(index):
                self._drop(index)
        if self.size > max_length:
            self._cut_reply(max_length)

    def _text_of(self, index: int) -> list[int]:
        return next((piece.ids for piece in self.prompt if piece.message == index), [])

    def _cut_from_left(self, index: int, excess: int, keep: int) -> None:
        ids = self._text_of(index)
        cut = min(excess, max(len(ids) - keep, 0))
        del ids[:cut]
        self.left[index] = len(ids)

    def _drop(self, index: int) -> None:
        """Take a message without text out, unless the format cannot do without or makes the rest longer."""
        before = self.kept, self.prompt, self.reply, self.size
        self.kept = [i for i in self.kept if i != index]
        try:
            self.lay()
            better = self.size < before[3]
        except InputError:
            better = False
        if not better:
            self.kept, self.prompt, self.reply = before[:3]

    def _cut_reply(self, max_length: int) -> None:
        excess, length = self.size - max_length, _total(self.reply)
        if excess >= length:
            what = "a prompt and one token of its text" if self.is_prompt else "a conversation and one trained token"
            needed = self.size - max(length - 1, 0)
            raise InputError(f"max_length {max_length} cannot hold {what}; it needs at least {needed}")
        while excess > 0:
            last = self.reply[-1]
            gone = min(excess, len(last.ids))
            del last.ids[len(last.ids) - gone :]
            excess -= gone
            if not last.ids:
                self.reply.pop()


def _total(pieces: Sequence[_Piece]) -> int:
    return sum([len(piece.ids) for piece in pieces])


def _stripped(text: str, left: str | None, right: str | None) -> str:
    """A text as the format has it; see :class:`Frame`."""
    text = text if left == "" else text.lstrip(left)
    return text if right == "" else text.rstrip(right)


def _split(messages: Sequence[Message]) -> tuple[list[int], list[list[int]]]:
    """The leading system messages, and the exchanges: each ends with one of the assistant, the only one in it."""
    first = next(i for i, message in enumerate(messages) if message.role != "system")
    exchanges: list[list[int]] = [[]]
    for index in range(first, len(messages)):
        exchanges[-1].append(index)
        if messages[index].role == "assistant":
            exchanges.append([])
    return list(range(first)), exchanges[:-1]
