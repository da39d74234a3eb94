"""The generation engine: ragged prompts share a batch, and no slot waits for the slowest.

Every distinct prompt is computed once and its keys and values are copied to the slots of all
its samples. A response that ends leaves its slot to the next in the queue; when the queue is
empty the last slot moves into the gap, so the batch holds living rows only. Noise is keyed by
(seed, prompt key, sample, token), so neither the batch nor the number of slots changes what is
sampled, up to the rounding of the logits.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from preceptor.errors import InputError
from preceptor.generation.decode import Decoder
from preceptor.generation.likely import Likely, LikelyTokens
from preceptor.generation.sampling import Sampler, SamplingConfig, uniforms
from preceptor.keyed import Key
from preceptor.models.transformer import Transformer

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Generation:
    """One sampled response, with everything a rollout needs to know about it."""

    prompt: list[int]
    ids: list[int]  # the response, with the end token if it came
    logprobs: list[float]  # of each id under the distribution it was drawn from
    finish_reason: FinishReason  # "stop": the end token; "length": the limit or the context
    likely: list[Likely] = field(default_factory=list)  # of each id, if it was asked for


@dataclass(frozen=True)
class _Sample:
    """A response to be made: waiting in the queue, then sitting in a slot."""

    ticket: int
    prompt: tuple[int, ...]
    sampling: SamplingConfig
    key: tuple[Key, ...]
    index: int  # which of the prompt's samples
    limit: int  # most tokens it may get
    alternatives: int | None  # how many likely tokens are noted beside each drawn one; None: not even its own
    likely: list[Likely] = field(default_factory=list)


class Engine:
    """Responses in the making. Submit at any time, step while :attr:`busy`.

    ``eos_id`` ends a response; a model may have several such tokens, or none.
    ``capacity`` is the longest prompt with its response that must fit (default: the model's context).
    """

    def __init__(
        self,
        model: Transformer,
        *,
        eos_id: int | Sequence[int] | None,
        pad_id: int,
        max_slots: int = 64,
        capacity: int | None = None,
    ):
        if not model.config.causal:
            raise InputError("the model attends in both directions, so it cannot generate; use a causal one")
        self.capacity = min(capacity or model.context, model.context)
        self.max_slots = max_slots
        self.eos_ids = () if eos_id is None else (eos_id,) if isinstance(eos_id, int) else tuple(eos_id)
        self._decoder = Decoder(model, max_slots, self.capacity, pad_id)
        self._queue: deque[_Sample] = deque()
        self._tickets = 0
        # Prompts that are computed and whose samples are not all seated yet: where each is in the prefill.
        self._prefix: Tensor | None = None
        self._prefix_row: dict[tuple[int, ...], int] = {}
        # Slots in use are the first len(self._samples); gaps among them are closed before a step.
        self._samples: list[_Sample | None] = []
        self._gaps: list[int] = []
        self._sampler: Sampler | None = None
        self._asking: list[int] = []  # slots whose likely tokens are noted
        self._slots = np.arange(max_slots)
        self._tokens = np.zeros(max_slots, dtype=np.int64)  # what each row is fed next
        self._positions = np.zeros(max_slots, dtype=np.int64)  # and where that stands
        self._counts = np.zeros(max_slots, dtype=np.int64)  # response tokens so far
        self._limits = np.zeros(max_slots, dtype=np.int64)
        self._ids = np.zeros((max_slots, self.capacity), dtype=np.int64)
        self._logprobs = np.zeros((max_slots, self.capacity), dtype=np.float32)
        self._noise = np.zeros((max_slots, self.capacity), dtype=np.float32)
        self._rows = (self._tokens, self._positions, self._counts, self._limits)
        self._rows += (self._ids, self._logprobs, self._noise)  # type: ignore[assignment]

    @property
    def busy(self) -> bool:
        """Whether a further step would do anything."""
        return bool(self._queue) or len(self._gaps) < len(self._samples)

    def submit(
        self,
        prompt: Sequence[int],
        sampling: SamplingConfig,
        *,
        samples: int = 1,
        key: Sequence[Key] = (),
        alternatives: int | None = None,
    ) -> list[int]:
        """Queue ``samples`` responses to a prompt and give their tickets. ``key`` names their noise.

        With ``alternatives``, the model's own log-probability of each token is noted, and that many likeliest
        tokens beside it (:attr:`Generation.likely`).
        """
        check_prompt(prompt, self.capacity)
        limit = min(self.capacity - len(prompt), sampling.max_new_tokens)
        tickets = list(range(self._tickets, self._tickets + samples))
        self._tickets += samples
        for index, ticket in enumerate(tickets):
            self._queue.append(_Sample(ticket, tuple(prompt), sampling, tuple(key), index, limit, alternatives))
        return tickets

    def cancel(self, ticket: int) -> None:
        """Forget a response, wherever it is."""
        self._queue = deque(sample for sample in self._queue if sample.ticket != ticket)
        slot = self._slot_of(ticket)
        if slot is not None:
            self._vacate(slot)

    def so_far(self, ticket: int) -> tuple[list[int], list[float]]:
        """Ids and log-probabilities of a response that is still in the making (empty while it waits)."""
        slot = self._slot_of(ticket)
        if slot is None:
            return [], []
        count = self._counts[slot]
        return self._ids[slot, :count].tolist(), self._logprobs[slot, :count].tolist()

    def likely_so_far(self, ticket: int) -> list[Likely]:
        """What was noted of the tokens of a response that is still in the making and asked for it."""
        slot = self._slot_of(ticket)
        sample = None if slot is None else self._samples[slot]
        return [] if sample is None else sample.likely

    @torch.inference_mode()
    def step(self) -> dict[int, Generation]:
        """One more token for every row; the responses that are complete with it, by ticket."""
        if self._queue and (self._gaps or len(self._samples) < self.max_slots):
            self._admit()
        if self._gaps:
            self._close_gaps()
        count = len(self._samples)
        if not count:
            return {}
        if self._sampler is None:
            rows = [sample.sampling for sample in self._samples if sample is not None]
            self._sampler = Sampler(rows, self._decoder.device)
            self._asking = [i for i, one in enumerate(self._samples) if one and one.alternatives is not None]
        device = self._decoder.device
        slots, counts, fed = self._slots[:count], self._counts[:count], self._tokens[:count]
        noise = torch.from_numpy(self._noise[slots, counts]).to(device)
        tokens, positions = torch.from_numpy(fed).to(device), torch.from_numpy(self._positions[:count]).to(device)
        reach = int(self._positions[:count].max()) + 1
        logits = self._decoder.step(tokens, positions, reach)
        likely = self._likely(logits) if self._asking else None
        drawn, logprobs = self._sampler.draw(logits, noise)
        fed[:] = drawn.cpu().numpy()
        self._ids[slots, counts] = fed
        host_logprobs = logprobs.cpu().numpy()
        if not np.isfinite(host_logprobs).all():
            raise InputError("the model computes values that are not finite; its weights are damaged or it diverged")
        self._logprobs[slots, counts] = host_logprobs
        if likely is not None:
            for slot, noted in zip(self._asking, likely.of(drawn), strict=True):
                self._sample_in(slot).likely.append(noted)
        counts += 1
        self._positions[:count] += 1
        ended = counts == self._limits[:count]
        for eos_id in self.eos_ids:  # one or few
            ended |= fed == eos_id
        return self._retire(np.flatnonzero(ended).tolist()) if ended.any() else {}

    def _likely(self, logits: Tensor) -> LikelyTokens:
        return LikelyTokens(logits, self._asking, [self._sample_in(slot).alternatives or 0 for slot in self._asking])

    def _sample_in(self, slot: int) -> _Sample:
        sample = self._samples[slot]
        assert sample is not None
        return sample

    def _retire(self, slots: list[int]) -> dict[int, Generation]:
        """Take complete responses out of their slots."""
        finished = {}
        for slot in slots:
            sample, count = self._sample_in(slot), self._counts[slot]
            finished[sample.ticket] = Generation(
                prompt=list(sample.prompt),
                ids=self._ids[slot, :count].tolist(),
                logprobs=self._logprobs[slot, :count].tolist(),
                finish_reason="stop" if self._tokens[slot] in self.eos_ids else "length",
                likely=sample.likely,
            )
            self._vacate(slot)
        return finished

    def _vacate(self, slot: int) -> None:
        self._samples[slot] = None
        self._gaps.append(slot)
        self._sampler = None

    def _close_gaps(self) -> None:
        """Move the last rows into the gaps that the queue did not fill."""
        living = len(self._samples) - len(self._gaps)
        targets = [slot for slot in self._gaps if slot < living]
        sources = [slot for slot in range(living, len(self._samples)) if self._samples[slot] is not None]
        if targets:
            self._decoder.move(sources, targets, int(self._positions[sources].max()))
            for rows in self._rows:
                rows[targets] = rows[sources]
            for source, target in zip(sources, targets, strict=True):
                self._samples[target] = self._samples[source]
        del self._samples[living:]
        self._gaps = []

    def _admit(self) -> None:
        """Seat waiting samples, computing prompts in batches as they are needed."""
        while self._queue and (self._gaps or len(self._samples) < self.max_slots):
            if self._queue[0].prompt not in self._prefix_row:
                self._prefill()
            self._seat()
        if not self._queue:
            self._prefix, self._prefix_row = None, {}
        self._sampler = None

    def _prefill(self) -> None:
        """Compute the prompts of the next ``max_slots`` samples, each once."""
        self._prefix_row = {}
        for sample, _ in zip(self._queue, range(self.max_slots), strict=False):
            self._prefix_row.setdefault(sample.prompt, len(self._prefix_row))
        # The last token is left to the first decoding step, whose logits choose the first new one.
        self._prefix = self._decoder.prefill([prompt[:-1] for prompt in self._prefix_row])

    def _seat(self) -> None:
        """Move samples of computed prompts from the queue into gaps and behind the last slot."""
        rows, slots = [], []
        while self._queue and self._queue[0].prompt in self._prefix_row:
            if not self._gaps:
                if len(self._samples) == self.max_slots:
                    break
                self._gaps.append(len(self._samples))
                self._samples.append(None)
            sample, slot = self._queue.popleft(), self._gaps.pop()
            rows.append(self._prefix_row[sample.prompt])
            slots.append(slot)
            self._samples[slot] = sample
            self._tokens[slot] = sample.prompt[-1]
            self._positions[slot] = len(sample.prompt) - 1
            self._counts[slot] = 0
            self._limits[slot] = sample.limit
            self._noise[slot, : sample.limit] = uniforms(sample.sampling.seed, sample.key, sample.index, sample.limit)
        assert self._prefix is not None
        self._decoder.load(self._prefix, rows, slots)

    def _slot_of(self, ticket: int) -> int | None:
        return next((slot for slot, sample in enumerate(self._samples) if sample and sample.ticket == ticket), None)


def check_prompt(prompt: Sequence[int], context: int) -> None:
    """Raise :class:`InputError` for a prompt that is empty or leaves no room for a token."""
    if not prompt:
        raise InputError("the prompt has no tokens; give it at least one")
    if len(prompt) >= context:
        raise InputError(
            f"the prompt has {len(prompt)} tokens and the context of {context} takes at most {context - 1}; shorten it"
        )


def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingConfig,
    *,
    eos_id: int | Sequence[int] | None,
    pad_id: int,
    samples_per_prompt: int = 1,
    keys: Sequence[Sequence[Key]] | None = None,
    max_slots: int = 64,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[list[Generation]]:
    """``samples_per_prompt`` responses to each prompt, in the order of the prompts.

    ``keys`` name the noise of each prompt (default: its index); ``on_progress(done, total)``
    counts complete responses. A response ends with ``eos_id``, or with any of several. A prompt
    that leaves no room in the context is an InputError.
    """
    if keys is None:
        keys = [(index,) for index in range(len(prompts))]
    context = model.context
    for prompt in prompts:
        check_prompt(prompt, context)
    total = len(prompts) * samples_per_prompt
    if not total:
        return [[] for _ in prompts]
    capacity = min(max(map(len, prompts)) + sampling.max_new_tokens, context)
    engine = Engine(model, eos_id=eos_id, pad_id=pad_id, max_slots=min(max_slots, total), capacity=capacity)
    # Prompts of like length, and the same prompts, go together; what is sampled does not depend on the order.
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), tuple(prompts[index])), reverse=True)
    tickets = {
        index: engine.submit(prompts[index], sampling, samples=samples_per_prompt, key=keys[index]) for index in order
    }
    finished: dict[int, Generation] = {}
    while engine.busy:
        done = engine.step()
        finished |= done
        if done and on_progress is not None:
            on_progress(len(finished), total)
    return [[finished[ticket] for ticket in tickets[index]] for index in range(len(prompts))]
