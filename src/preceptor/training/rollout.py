"""Rollouts: what the policy wrote, and everything about it that PPO must know, carried along.

Shapes: B episodes, T positions of prompt and response, right padded. The (B, T - 1) tensors are
aligned to predictions: column t belongs to the token at t + 1, which was drawn, scored and
valued in the state that ends at t.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from preceptor.algorithms.language import linear_logprobs
from preceptor.generation.engine import Generation, generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.keyed import Key
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.text.packing import pad_batch
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.batches import group_by_length
from preceptor.training.scoring import TOKEN_BUDGET, grouped_scores, with_end
from preceptor.training.shared_prompts import inputs, runs


@dataclass(frozen=True)
class Rollout:
    """A batch of episodes. It lies on the CPU; a pass takes its part to the device of a model."""

    ids: Tensor  # (B, T) int64
    segments: Tensor  # (B, T) int64, 1 real, 0 padding
    mask: Tensor  # (B, T - 1) bool: the prediction is of a response token
    logprobs: Tensor  # (B, T - 1) of the response tokens, as sampled; 0 elsewhere
    ref_logprobs: Tensor  # (B, T - 1) under the reference
    values: Tensor  # (B, T - 1) of the critic before each response token
    scores: Tensor  # (B,) of the reward model, the penalty for a missing end included
    ended: Tensor  # (B,) bool: the response has its end token
    prompts: Tensor  # (B,) int64: episodes with one number answer the same prompt, side by side

    def take(self, rows: Sequence[int]) -> "Rollout":
        """Some episodes, cut to the longest of them."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        width = int(self.segments[index].sum(1).max())
        parts = {}
        for one in fields(self):
            tensor = getattr(self, one.name)[index]
            if tensor.ndim == 2:
                tensor = tensor[:, : width - (0 if one.name in ("ids", "segments") else 1)]
            parts[one.name] = tensor
        return Rollout(**parts)

    def groups(self, rows: Sequence[int], token_budget: int) -> list[list[int]]:
        """Micro-batches of episodes of similar length, of at most so many tokens with their padding.

        Neighbours that answer the same prompt stay together, and its tokens count once.
        """
        together = runs(self.prompts, rows)
        whole, responses = self.segments.sum(1).tolist(), self.lengths.tolist()
        lengths = [whole[group[0]] + sum(responses[row] for row in group[1:]) for group in together]
        taken = group_by_length(range(len(together)), lengths, token_budget)
        return [[row for index in group for row in together[index]] for group in taken]

    def to(self, device: torch.device) -> "Rollout":
        """The same on a device."""
        return Rollout(**{one.name: getattr(self, one.name).to(device) for one in fields(self)})

    @property
    def lengths(self) -> Tensor:
        """Response tokens of each episode, (B,), the end token included."""
        return self.mask.sum(1)


def response_logprobs(
    model: Transformer,
    ids_BT: Tensor,
    segments_BT: Tensor,
    mask: Tensor,
    temperature: float,
    prompts_B: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities (B, T - 1) of the masked tokens, 0 elsewhere, and the entropy (N,) where they were drawn.

    Hidden states of prompts and padding never meet the vocabulary, and many logits never exist together. The result is
    on the model's device.
    """
    ids_BT, segments_BT, mask = (tensor.to(model.device) for tensor in (ids_BT, segments_BT, mask))
    read = inputs(ids_BT, segments_BT, mask, prompts_B)
    hidden = model.hidden(read.ids, read.segments, branches_BT=read.branches, only_BT=read.only)
    chosen, spread = linear_logprobs(hidden, model.head.weight, ids_BT[:, 1:][mask], temperature)
    return torch.zeros_like(mask, dtype=chosen.dtype).masked_scatter(mask, chosen), spread


def response_values(
    critic: ScalarModel, ids_BT: Tensor, segments_BT: Tensor, mask: Tensor, prompts_B: Tensor | None = None
) -> Tensor:
    """The critic's value (B, T - 1) of each state in which a response token is about to be drawn, 0 elsewhere."""
    ids_BT, segments_BT, mask = (tensor.to(critic.trunk.device) for tensor in (ids_BT, segments_BT, mask))
    read = inputs(ids_BT, segments_BT, mask, prompts_B)
    values = critic(read.ids, read.segments, branches_BT=read.branches, only_BT=read.only)
    return torch.zeros_like(mask, dtype=values.dtype).masked_scatter(mask, values)


def collect(
    policy: Transformer,
    prompts: Sequence[Sequence[int]],
    *,
    reference: Transformer,
    critic: ScalarModel,
    reward_model: ScalarModel,
    tokenizer: Tokenizer,
    sampling: SamplingConfig,
    keys: Sequence[Sequence[Key]],
    no_end_penalty: float,
    responses: int = 1,
) -> Rollout:
    """``responses`` to each prompt, one after the other, by pure sampling; scored, valued, compared with the reference.

    The reward model reads prompt + response at its end token: nothing comes after it. A response that ran into the
    limit is read as if it ended there, and loses ``no_end_penalty``.
    """
    if sampling.top_k or sampling.top_p != 1.0:
        raise ValueError("rollouts are drawn from the policy itself: top_k must be 0 and top_p 1")
    groups = generate(
        policy,
        prompts,
        sampling,
        eos_id=tokenizer.eos_ids,
        pad_id=tokenizer.pad_id,
        samples_per_prompt=responses,
        keys=keys,
        max_slots=256,
    )
    return assess(
        [one for group in groups for one in group],
        reference=reference,
        critic=critic,
        reward_model=reward_model,
        tokenizer=tokenizer,
        temperature=sampling.temperature,
        no_end_penalty=no_end_penalty,
        responses=responses,
    )


def read_by(model: ScalarModel, episodes: Sequence[Generation], tokenizer: Tokenizer) -> list[list[int]]:
    """Prompt and response of each episode as a reward model reads them."""
    whole = []
    for one in episodes:
        sequence = [*one.prompt, *one.ids]
        ended = one.finish_reason == "stop"
        whole.append(sequence if ended else with_end(sequence, tokenizer.eos_id, model.trunk.context))
    return whole


@torch.no_grad()
def assess(
    episodes: Sequence[Generation],
    *,
    reference: Transformer,
    critic: ScalarModel | None,
    reward_model: ScalarModel,
    tokenizer: Tokenizer,
    temperature: float,
    no_end_penalty: float,
    responses: int = 1,
) -> Rollout:
    """Responses as a :class:`Rollout`: ids and masks as they were generated, never decoded and encoded again.

    Each ``responses`` of them answer one prompt. Without a critic, for those that nothing is learnt from, the values
    are 0.
    """
    sequences = [[*one.prompt, *one.ids] for one in episodes]
    ids, segments = pad_batch(sequences, tokenizer.pad_id)
    mask = torch.zeros(ids.shape[0], ids.shape[1] - 1, dtype=torch.bool)
    logprobs = torch.zeros(mask.shape)
    for row, one in enumerate(episodes):
        here = slice(len(one.prompt) - 1, len(one.prompt) - 1 + len(one.ids))
        mask[row, here] = True
        logprobs[row, here] = torch.tensor(one.logprobs)
    ended = torch.tensor([one.finish_reason == "stop" for one in episodes])
    read = read_by(reward_model, episodes, tokenizer)
    groups = [read[at : at + responses] for at in range(0, len(read), responses)]
    scores = grouped_scores(reward_model, groups, tokenizer.pad_id)
    scores = scores - no_end_penalty * ~ended
    nothing, prompts = torch.zeros_like(logprobs), torch.arange(len(episodes)) // responses
    bare = Rollout(ids, segments, mask, logprobs, nothing, nothing.clone(), scores, ended, prompts)
    for rows in bare.groups(range(len(episodes)), TOKEN_BUDGET):
        part = bare.take(rows)
        width = part.mask.shape[1]
        index = torch.tensor(rows)
        theirs, _ = response_logprobs(reference, part.ids, part.segments, part.mask, temperature, part.prompts)
        bare.ref_logprobs[index, :width] = theirs.cpu()
        if critic is not None:
            values = response_values(critic, part.ids, part.segments, part.mask, part.prompts)
            bare.values[index, :width] = values.cpu()
    return bare
