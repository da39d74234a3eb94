"""Passes over finished answers: the reward model's score, and the divergence of two policies.

Both take answers of any length in batches of similar length; padding stands on the right and
changes nothing. Shapes: B answers, T positions of prompt and response, V vocabulary.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from preceptor.algorithms.language import chunks
from preceptor.evaluation.answers import Answer
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.text.packing import pad_batch
from preceptor.text.tokenizer import PAD_ID
from preceptor.training.batches import group_by_length
from preceptor.training.scoring import TOKEN_BUDGET, sequence_scores, with_end


def reward_scores(model: ScalarModel, answers: Sequence[Answer]) -> list[float]:
    """The reward model's score of each answer, read at its end."""
    sequences = []
    for answer in answers:
        whole = [*answer.prompt, *answer.ids]
        if answer.end_id is not None and not answer.finished:
            whole = with_end(whole, answer.end_id, model.trunk.context)
        sequences.append(whole)
    scores: list[float] = sequence_scores(model, sequences, PAD_ID).tolist()
    return scores


@torch.inference_mode()
def sequence_kl(policy: Transformer, reference: Transformer, answers: Sequence[Answer]) -> list[float]:
    """KL(policy || reference) in nats of each answer that ``policy`` sampled at temperature 1.

    The sum over the answer's tokens of the divergence between the two next-token distributions,
    each taken over the whole vocabulary. Its mean over samples is the KL of whole responses
    without bias, like the mean of sum(log p - log q) over the sampled tokens, but never negative
    and with less noise.
    """
    divergences = [0.0] * len(answers)
    starts = torch.tensor([len(answer.prompt) for answer in answers])
    for rows, ids_BT, segments_BT in _batches([[*answer.prompt, *answer.ids] for answer in answers]):
        # The hidden state at t foretells token t + 1; the response begins at the prompt's length.
        targets = torch.arange(1, ids_BT.shape[1])
        response_BT = (targets >= starts[rows][:, None]) & (segments_BT[:, 1:] != 0)
        per_token_N = _per_token(policy, reference, ids_BT, segments_BT, response_BT).double()
        row_N = response_BT.nonzero()[:, 0]
        sums_B = torch.zeros(len(rows), dtype=torch.float64).index_add_(0, row_N, per_token_N)
        for row, value in zip(rows, sums_B.tolist(), strict=True):
            divergences[row] = value
    return divergences


def _per_token(
    policy: Transformer, reference: Transformer, ids_BT: Tensor, segments_BT: Tensor, chosen_BT: Tensor
) -> Tensor:
    """The divergence (N,) of the next token's distributions at the N chosen of the first T - 1 positions."""
    ids_BT, segments_BT, chosen_BT = (tensor.to(policy.device) for tensor in (ids_BT, segments_BT, chosen_BT))
    hidden = [(model, model.hidden(ids_BT, segments_BT)[:, :-1][chosen_BT]) for model in (policy, reference)]
    per_token_N = torch.zeros(int(chosen_BT.sum()))
    for part in chunks(len(per_token_N), policy.config.vocab_size):  # logits of all would be the largest tensor by far
        p, q = (F.log_softmax(model.unembed(hidden_ND[part]).float(), dim=-1) for model, hidden_ND in hidden)
        per_token_N[part] = (p.exp() * (p - q)).sum(-1).cpu()
    return per_token_N


def _batches(sequences: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Indices, ids (B, T) and segments (B, T) of every batch."""
    for rows in group_by_length(range(len(sequences)), [len(one) for one in sequences], TOKEN_BUDGET):
        yield rows, *pad_batch([sequences[row] for row in rows], PAD_ID)
