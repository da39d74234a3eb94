"""Conversations and the one place that knows how they become token ids.

The layout, in special tokens and text::

    <|begin|> <|system|> text <|end|> <|user|> text <|end|> <|assistant|> text <|end|> ...

A prompt ends with a bare ``<|assistant|>``: the model writes from there until its ``<|end|>``.
Text is encoded by itself, with special tokens disabled, so nobody can type a role marker.

A limit of the other route: Hugging Face's chat template (CHAT_TEMPLATE, saved with the tokenizer) makes one string
that is tokenized as a whole, so a marker typed in a message becomes the real marker there. For all other text
both routes give the same ids. Where messages come from people who are not trusted, use :func:`render_prompt`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from preceptor.errors import InputError

if TYPE_CHECKING:  # the tokenizer saves CHAT_TEMPLATE, so at run time the import goes the other way
    from preceptor.text.tokenizer import Tokenizer

Role = Literal["system", "user", "assistant"]

# The same layout for Hugging Face's `apply_chat_template`; a test holds it to `render`, id for id. Message text is
# only ever a value here, never part of the template, so Jinja syntax in it is inert; a role marker is not (see above).
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('unknown role ' ~ message['role'] ~ '; use system, user or assistant') }}"
    "{% endif %}"
    "{{ '<|' ~ message['role'] ~ '|>' ~ message['content'] ~ eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


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
class _Turn:
    """A message while it is being fitted: its text ids, and whether the end marker is still there."""

    role: Role
    text: list[int]
    ended: bool = field(default=True)

    def __len__(self) -> int:
        return 1 + len(self.text) + self.ended


def render(tokenizer: Tokenizer, messages: Sequence[Message], max_length: int | None = None) -> Rendered:
    """Render a conversation that ends with the assistant.

    The mask is true on the text and the ``<|end|>`` of every assistant turn, and nowhere else.

    What is longer than ``max_length`` tokens is cut, in this order, until it fits:

    1. whole exchanges (everything up to and including one reply), oldest first; the leading system
       messages stay;
    2. in the last exchange, the prompt's text from its left, then the system's text from its left
       (a message without text left goes, except the one the reply answers);
    3. the reply from its right, its ``<|end|>`` first: a model must not learn to stop where we cut.

    At least one trained token always remains. Errors: no message, a last message that is not the
    assistant's, or a ``max_length`` that cannot hold the markers and one trained token.
    """
    _check_last(messages, "assistant", "a conversation to learn from")
    return _fit(tokenizer, messages, max_length)


def render_prompt(tokenizer: Tokenizer, messages: Sequence[Message], max_length: int | None = None) -> Rendered:
    """Render a conversation that ends with the user, up to and including the ``<|assistant|>`` to write after.

    The mask is false throughout. ``render(messages + [reply])`` begins with exactly these ids when nothing
    is cut. Cutting is as in :func:`render`, and keeps at least one token of the last message's text.
    """
    _check_last(messages, "user", "a prompt")
    return _fit(tokenizer, messages, max_length)


def _check_last(messages: Sequence[Message], role: Role, what: str) -> None:
    if not messages:
        raise InputError(f"{what} has no messages; give it at least one")
    if messages[-1].role != role:
        raise InputError(f"{what} ends with a message of the {messages[-1].role}; end it with one of the {role}")


def _fit(tokenizer: Tokenizer, messages: Sequence[Message], max_length: int | None) -> Rendered:
    """Cut the turns to ``max_length`` and lay them out; a prompt is a conversation whose reply is not begun."""
    turns = [_Turn(message.role, tokenizer.encode(message.content)) for message in messages]
    is_prompt = messages[-1].role == "user"
    if is_prompt:
        turns.append(_Turn("assistant", [], ended=False))
    if max_length is None or 1 + _total(turns) <= max_length:
        return _lay_out(tokenizer, turns, is_prompt, truncated=False)

    room = max_length - 1  # <|begin|> always stays
    system, exchanges = _split(turns)
    excess = _total(turns) - room
    while len(exchanges) > 1 and excess > 0:
        excess -= _total(exchanges.pop(0))
    if excess <= 0:
        kept = [turn for exchange in exchanges for turn in exchange]
        return _lay_out(tokenizer, [*system, *kept], is_prompt, truncated=True)

    ((*prompt, reply),) = exchanges
    _require_room(max_length, prompt, is_prompt)
    excess = _cut_from_left(prompt, excess, keep=1 if is_prompt else 0, keep_last=True)
    excess = _cut_from_left(system, excess, keep=0, keep_last=False)
    if excess > 0:  # only a reply can be left over: a prompt's has no text
        reply.ended = False
        excess -= 1
        if excess > 0:
            del reply.text[-excess:]
    return _lay_out(tokenizer, [*system, *prompt, reply], is_prompt, truncated=True)


def _total(turns: Sequence[_Turn]) -> int:
    return sum(map(len, turns))


def _split(turns: Sequence[_Turn]) -> tuple[list[_Turn], list[list[_Turn]]]:
    """The leading system turns, and the exchanges: each ends with an assistant turn, the only one in it."""
    first = next(i for i, turn in enumerate(turns) if turn.role != "system")
    exchanges: list[list[_Turn]] = [[]]
    for turn in turns[first:]:
        exchanges[-1].append(turn)
        if turn.role == "assistant":
            exchanges.append([])
    return list(turns[:first]), exchanges[:-1]


def _require_room(max_length: int, prompt: Sequence[_Turn], is_prompt: bool) -> None:
    """What no cut removes: <|begin|>, the markers of the message answered, <|assistant|>, and one token."""
    needed = 1 + (2 if prompt else 0) + 1 + (1 if not is_prompt or prompt[-1].text else 0)
    if max_length < needed:
        what = "a prompt and one token of its text" if is_prompt else "a conversation and one trained token"
        raise InputError(f"max_length {max_length} cannot hold {what}; it needs at least {needed}")


def _cut_from_left(turns: list[_Turn], excess: int, keep: int, keep_last: bool) -> int:
    """Cut ``excess`` tokens of text, oldest first, and drop turns left without text; return what is still too much.

    With ``keep_last`` the last turn always stays, with at least ``keep`` tokens of its text.
    """
    while turns and excess > 0:
        stays = keep_last and len(turns) == 1
        turn = turns[0]
        cut = min(excess, max(len(turn.text) - (keep if stays else 0), 0))
        del turn.text[:cut]
        excess -= cut
        if turn.text or stays:
            # Either the excess is gone, or this is as far as the turn may be cut.
            break
        excess -= len(turn)  # the two markers
        turns.pop(0)
    return excess


def _lay_out(tokenizer: Tokenizer, turns: Sequence[_Turn], is_prompt: bool, truncated: bool) -> Rendered:
    ids, mask = [tokenizer.bos_id], [False]
    for turn in turns:
        body = [*turn.text, tokenizer.eos_id] if turn.ended else turn.text
        ids += [tokenizer.role_ids[turn.role], *body]
        mask += [False, *[turn.role == "assistant" and not is_prompt] * len(body)]
    return Rendered(ids, mask, truncated)
