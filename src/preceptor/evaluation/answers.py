"""Models that answer: one interface over chat models and a base model prompted for the purpose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from preceptor.atlas.baseline import base_prompt, cut
from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.transformer import Transformer
from preceptor.text.conversation import Message, render_prompt
from preceptor.text.tokenizer import Tokenizer

OnProgress = Callable[[int], None]


@dataclass(frozen=True)
class Question:
    """A prompt as the measures need it: ``kind`` is the use case of a prompt, the group of a probe."""

    id: str
    kind: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Answer:
    """One response. The ids are the tokens as sampled, never the text tokenized again.

    prompt: the conversation as chat models and the reward model read it, up to the assistant's turn
    ids: the response, with the end token if it came
    finished: the model ended by itself (a chat model by its end token, the base by a line end or an end token)
    """

    text: str
    prompt: list[int]
    ids: list[int]
    finished: bool
    end_id: int | None = None  # the end token, which the reward model reads behind one that is not finished too


@dataclass(frozen=True)
class Policy:
    """A model under evaluation.

    ``base_format`` is None for a chat model, which reads the rendered conversation; for a base
    model it names the text format (atlas/baseline.py) that it continues, and its answer is what
    it writes up to the end of the line.
    """

    name: str
    model: Transformer
    tokenizer: Tokenizer
    max_new_tokens: int
    base_format: str | None = None

    def answer(
        self,
        questions: Sequence[Question],
        *,
        temperature: float,
        seed: int,
        part: str,
        samples: int = 1,
    ) -> list[list[Answer]]:
        """``samples`` answers to each question; temperature 0 is greedy.

        The noise of an answer is keyed by ``part``, the model's name and the question's id, so two
        models draw independently, and an answer is the same whichever others are asked for.
        """
        chats = [self._chat_ids(question) for question in questions]
        prompts = chats if self.base_format is None else [self._base_ids(question) for question in questions]
        sampling = SamplingConfig(temperature=temperature, max_new_tokens=self.max_new_tokens, seed=seed)
        with torch.inference_mode():
            groups = generate(
                self.model,
                prompts,
                sampling,
                samples_per_prompt=samples,
                keys=[("evaluate", part, self.name, question.id) for question in questions],
                eos_id=self._stop_ids(),
                pad_id=self.tokenizer.pad_id,
                max_slots=256,
            )
        return [
            [self._answer(chat, one.ids, one.finish_reason == "stop") for one in group]
            for chat, group in zip(chats, groups, strict=True)
        ]

    @property
    def prompt_room(self) -> int:
        """Tokens of the context that a prompt may take."""
        sampling = SamplingConfig(max_new_tokens=self.max_new_tokens)
        return sampling.prompt_room(self.model.context)

    def _chat_ids(self, question: Question) -> list[int]:
        return list(render_prompt(self.tokenizer, question.messages, self.prompt_room).ids)

    def _base_ids(self, question: Question) -> list[int]:
        """Begin and the text, as a document starts in pretraining; too long a text loses its left."""
        ids = self.tokenizer.encode(base_prompt(question.messages, self.base_format or ""))
        begin = [] if self.tokenizer.bos_id is None else [self.tokenizer.bos_id]
        return [*begin, *ids[-(self.prompt_room - len(begin)) :]]

    def _stop_ids(self) -> int | Sequence[int]:
        """The tokens that end an answer. The base stops at a line end where that is a token of its own."""
        if self.base_format is not None:
            line_end = self.tokenizer.encode("\n")
            if len(line_end) == 1:
                return line_end[0]
        return self.tokenizer.eos_ids

    def _answer(self, chat: list[int], ids: list[int], stopped: bool) -> Answer:
        if self.base_format is None:
            return Answer(self.tokenizer.decode(ids).strip(), chat, list(ids), stopped, self.tokenizer.eos_id)
        end = next((place for place, token in enumerate(ids) if token in self.tokenizer.eos_ids), len(ids))
        written = self.tokenizer.decode(ids[:end])
        text = cut(written)
        finished = end < len(ids) or "\n" in written.lstrip("\n")
        # It ends as every response does that a reward model reads, whether there was room for that or not.
        reply = [*self.tokenizer.encode(text)[: self.max_new_tokens - 1], self.tokenizer.eos_id]
        return Answer(text, chat, reply, finished)
