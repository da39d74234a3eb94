"""Layouts: where the messages of a conversation stand among the tokens of a chat format.

A layout turns the roles of a conversation into a :class:`Frame`, which the renderer fills with the messages' text.
There are two: ours, of special tokens (this module), and that of a model's own chat template (`frames`).

Ours, in special tokens and text::

    <|begin|> <|system|> text <|end|> <|user|> text <|end|> <|assistant|> text <|end|> ...
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Role = Literal["system", "user", "assistant"]
Roles = tuple[Role, ...]
# What a text follows: nothing, a special token, or other text. SentencePiece vocabularies write the three differently.
Opening = Literal["start", "special", "middle"]

# Our layout for Hugging Face's `apply_chat_template`; a test holds it to the renderer, id for id. Message text is
# only ever a value here, never part of the template, so Jinja syntax in it is inert; a role marker is not
# (see `conversation`).
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


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a run: the format's own text, or the number of the message whose text stands here."""

    text: str | int
    trained: bool


@dataclass(frozen=True, slots=True)
class Run:
    """Text between two special tokens (or between one and a reply), encoded as a whole."""

    opening: Opening
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Fixed:
    """Tokens of the format itself."""

    ids: tuple[int, ...]
    trained: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """A conversation without its texts; it ends with an assistant's turn and that turn's end token.

    ``items[:reply]`` is the prompt, after which the model writes; ``items[reply:]`` is what it should write.
    ``strips[i]`` are the characters that the format strips from message i on its left and right, as
    ``str.strip`` takes them: "" is none, None is white space. Empty if it strips nothing at all.
    """

    items: tuple[Fixed | Run, ...]
    reply: int
    strips: tuple[tuple[str | None, str | None], ...]


class Layout(Protocol):
    """A chat format."""

    def frame(self, roles: Roles) -> Frame:
        """The frame of a conversation with these roles, the last of them the assistant's.

        Raises :class:`InputError` for roles that the format cannot hold.
        """


class OurLayout:
    """The layout at the top of this module; a vocabulary without a begin token does without."""

    def __init__(self, bos_id: int | None, end_id: int, role_ids: Mapping[Role, int]) -> None:
        self.bos_id, self.end_id, self.role_ids = bos_id, end_id, dict(role_ids)
        self._frames: dict[Roles, Frame] = {}

    def frame(self, roles: Roles) -> Frame:
        """See :class:`Layout`; any order of roles will do."""
        if roles not in self._frames:
            items: list[Fixed | Run] = []
            opening = [] if self.bos_id is None else [self.bos_id]  # tokens of the format before the next text
            for index, role in enumerate(roles):
                learnt = role == "assistant"
                items += [Fixed((*opening, self.role_ids[role]), False), Run("special", (Span(index, learnt),))]
                opening = [] if learnt else [self.end_id]
                if learnt:
                    items.append(Fixed((self.end_id,), True))
            self._frames[roles] = Frame(tuple(items), len(items) - 2, ())
        return self._frames[roles]
