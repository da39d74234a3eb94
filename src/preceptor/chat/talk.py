"""A conversation with one of several models, and its replies as they are written. Knows of no terminal."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preceptor.errors import InputError
from preceptor.generation.engine import Engine, Generation
from preceptor.generation.sampling import SamplingConfig
from preceptor.keyed import Key
from preceptor.models.checkpoint import open_language_model
from preceptor.models.compute import COMPUTE, place
from preceptor.text.conversation import Message, render_prompt
from preceptor.text.stream import TextStream
from preceptor.text.tokenizer import Tokenizer

_LEAST_ROOM = 8  # tokens of a prompt: less holds the markers and no message


def _never() -> bool:
    return False


@dataclass(frozen=True)
class _Speaker:
    """A model that is ready to answer."""

    tokenizer: Tokenizer
    engine: Engine  # kept, since making one copies the weights
    room: int  # tokens that a prompt may have

    @classmethod
    def load(cls, directory: Path, sampling: SamplingConfig) -> "_Speaker":
        model, tokenizer = open_language_model(directory)
        place(model, COMPUTE)
        room = model.context - sampling.max_new_tokens
        if room < _LEAST_ROOM:
            raise InputError(
                f"--max-new-tokens {sampling.max_new_tokens} leaves no room for a message in the context of "
                f"{model.context}; lower it"
            )
        engine = Engine(model, eos_id=tokenizer.eos_ids, pad_id=tokenizer.pad_id, max_slots=1)
        return cls(tokenizer, engine, room)

    def pieces(
        self, prompt: Sequence[int], sampling: SamplingConfig, key: Sequence[Key], stopped: Callable[[], bool]
    ) -> Iterator[str]:
        """The text of a response, a piece a token; asks ``stopped`` before each."""
        (ticket,) = self.engine.submit(prompt, sampling, key=key)
        text, read = TextStream(self.tokenizer.decode), 0
        done: Generation | None = None
        try:
            while done is None and not stopped():
                done = self.engine.step().get(ticket)
                ids = done.ids if done else self.engine.so_far(ticket)[0]
                yield text.push(ids[read:], last=done is not None)
                read = len(ids)
        finally:
            self.engine.cancel(ticket)


class Talk:
    """The conversation so far, and the model that answers next: the first of ``models`` to begin with.

    What no longer fits into the context is forgotten, oldest exchange first; the system message stays.
    Raises :class:`InputError` for a model that cannot be loaded.
    """

    def __init__(self, models: Mapping[str, Path], sampling: SamplingConfig, system: str | None = None) -> None:
        self.sampling = sampling
        self.system = system
        self._models = models
        self._speakers: dict[str, _Speaker] = {}  # loaded when first used
        self._exchanges: list[Message] = []  # without the system message; ends with a reply
        self._turn = 0  # replies kept so far; with the attempt it names the noise of the next
        self._attempt = 0
        self.use(next(iter(models)))

    @property
    def names(self) -> list[str]:
        """The models."""
        return list(self._models)

    @property
    def messages(self) -> list[Message]:
        """The conversation, the system message first where there is one."""
        system = [Message(role="system", content=self.system)] if self.system else []
        return system + self._exchanges

    @property
    def started(self) -> bool:
        """Whether there is a reply."""
        return bool(self._exchanges)

    def use(self, name: str) -> None:
        """Let another model answer from now on; the conversation stays."""
        if name not in self._models:
            raise InputError(f"no model {name} here; there are: {', '.join(self._models)}")
        if name not in self._speakers:
            self._speakers[name] = _Speaker.load(self._models[name], self.sampling)
        self.model = name

    def begin(self) -> None:
        """Forget what was said; the system message stays."""
        self._exchanges = []

    def reply(self, text: str, stopped: Callable[[], bool] = _never) -> Iterator[str]:
        """The reply to a message, in pieces: whole characters, without white space at its ends.

        Once ``stopped`` says so no further token is made. What was written by then is kept in the conversation; if
        that is nothing, the message is not kept either. Raises :class:`InputError`, and keeps nothing, where the
        chat template refuses the roles or the weights give no numbers.
        """
        asked = [*self.messages, Message(role="user", content=text)]
        kept = yield from self._write(asked, ("chat", self._turn), stopped)
        if kept:
            self._turn, self._attempt = self._turn + 1, 0

    def again(self, stopped: Callable[[], bool] = _never) -> Iterator[str]:
        """Another reply in place of the last, as :meth:`reply` gives it; if nothing was written the last one stays."""
        if not self._exchanges:
            raise InputError("there is no reply yet; type a message first")
        self._attempt += 1
        yield from self._write(self.messages[:-1], ("chat", self._turn - 1, self._attempt), stopped)

    def _write(
        self, asked: list[Message], key: Sequence[Key], stopped: Callable[[], bool]
    ) -> Generator[str, None, bool]:
        """The pieces of a reply to ``asked``; whether it was kept."""
        speaker, said = self._speakers[self.model], ""
        prompt = render_prompt(speaker.tokenizer, asked, speaker.room)
        for piece in _trimmed(speaker.pieces(prompt.ids, self.sampling, key, stopped)):
            said += piece
            yield piece
        if not said and stopped():
            return False
        exchanges = [*asked, Message(role="assistant", content=said)]
        self._exchanges = exchanges[1:] if self.system else exchanges
        return True


def _trimmed(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces without the white space at the ends of their sum."""
    held, begun = "", False
    for piece in pieces:
        held = held + piece if begun else (held + piece).lstrip()
        if text := held.rstrip():
            yield text
            held, begun = held[len(text) :], True
