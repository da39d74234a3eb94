"""What a model made of a reply that it has written, or might have: token by token, computed anew from the text.

The conversation is rendered as in training and the whole reply goes through the model in one pass (teacher forcing), at
temperature 1 and with nothing cut. Its tokens are those of its text: a model may have written the same text in others.

Shapes: N tokens of the reply, V vocabulary, D hidden size, K tokens of the conversation up to one of the reply.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor

from preceptor.algorithms.language import chunks
from preceptor.errors import InputError
from preceptor.models.attention_maps import attention_maps
from preceptor.models.transformer import Transformer
from preceptor.text.conversation import Message, render, render_prompt
from preceptor.text.tokenizer import Tokenizer


class BusyError(Exception):
    """The model is being looked into already."""


class _Reply(NamedTuple):
    ids: list[int]  # the conversation, up to and including the reply
    start: int  # where the reply begins in it


class Inspector:
    """Looks into one model, one reply at a time.

    The engine has weights of its own, so this has a module that nothing else uses; ``load`` gives it when it is first
    needed. What the methods return is plain JSON values. They raise :class:`BusyError` instead of waiting, and
    :class:`InputError` for a conversation that cannot be looked into.

    The ``reference``, what the policy was before PPO, has the model's own vocabulary; several models may share it.
    """

    def __init__(
        self, load: Callable[[], Transformer], tokenizer: Tokenizer, reference: Transformer | None = None
    ) -> None:
        self.tokenizer, self.reference = tokenizer, reference
        self._load = load
        self._model: Transformer | None = None
        self._lock = Lock()

    def tokens(self, messages: Sequence[Message], top: int) -> dict[str, Any]:
        """Every token of the last message, the assistant's, with the ``top`` likeliest in its place.

        ``kl`` is that of the whole distributions, KL(model || reference), in nats, from 0 up; ``log_ratio`` is log
        p_model - log p_reference of the token that is there, whose mean over what the model samples is that KL.
        """
        with self._alone() as model:
            reply = self._render(messages, model)
            rows = _rows(model, self.reference, reply, top)
            return {"prompt_tokens": reply.start, "tokens": [self._named(reply, n, row) for n, row in enumerate(rows)]}

    def attention(
        self, messages: Sequence[Message], token: int, layer: int | None = None, head: int | None = None
    ) -> dict[str, Any]:
        """Where the model looked when it wrote a token of the reply: shares of all K tokens before it, whose sum is 1.

        ``layer`` and ``head`` choose; None is the mean over all of them.
        """
        with self._alone() as model:
            reply = self._render(messages, model)
            written = len(reply.ids) - reply.start
            layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
            for name, given, count in (("token", token, written), ("layer", layer, layers), ("head", head, heads)):
                if given is not None and given >= count:
                    raise InputError(f"{name} {given}: there are {count} here, counted from 0")
            seen = reply.ids[: reply.start + token]
            maps = attention_maps(model, torch.tensor([seen], device=model.device), last=True)
            weights_LHK = torch.stack([one[0, :, 0].float() for one in maps])
            chosen_LHK = weights_LHK[slice(layer, None if layer is None else layer + 1)]
            chosen_LHK = chosen_LHK[:, slice(head, None if head is None else head + 1)]
            weights_K = chosen_LHK.mean((0, 1)).tolist()
            return {
                "layers": layers,
                "heads": heads,
                "seen": [self._name(one) | {"weight": weight} for one, weight in zip(seen, weights_K, strict=True)],
            }

    @contextmanager
    def _alone(self) -> Iterator[Transformer]:
        """The model, for one at a time: to look at attention hooks are hung into it."""
        if not self._lock.acquire(blocking=False):
            raise BusyError
        try:
            if self._model is None:
                self._model = self._load()
            yield self._model
        finally:
            self._lock.release()

    def _render(self, messages: Sequence[Message], model: Transformer) -> _Reply:
        """The conversation as ids, if both models can hold it."""
        ids = render(self.tokenizer, messages).ids
        start = len(render_prompt(self.tokenizer, messages[:-1]).ids)
        for name, one in (("model", model), ("reference", self.reference)):
            if one is not None and len(ids) > one.context:
                raise InputError(
                    f"the conversation has {len(ids)} tokens and the context of the {name} is {one.context}; "
                    "shorten the messages"
                )
        return _Reply(ids, start)

    def _named(self, reply: _Reply, number: int, row: dict[str, Any]) -> dict[str, Any]:
        top = [self._name(token) | {"logprob": logprob} for token, logprob in row.pop("top")]
        return self._name(reply.ids[reply.start + number]) | row | {"top": top}

    def _name(self, token: int) -> dict[str, Any]:
        """A token for people: its text, with ``\\xe4`` for a byte that is part of a character; no bytes if special."""
        raw = self.tokenizer.bytes_of(token)
        text = self.tokenizer.name_of(token) if raw is None else raw.decode(errors="backslashreplace")
        return {"id": token, "text": text, "bytes": None if raw is None else list(raw)}


@torch.no_grad()
def _rows(model: Transformer, reference: Transformer | None, reply: _Reply, top: int) -> list[dict[str, Any]]:
    """What is computed of each of the N tokens; ``top`` as pairs of token and log-probability."""
    hidden_ND, theirs_ND = _hidden(model, reply), None if reference is None else _hidden(reference, reply)
    targets_N = torch.tensor(reply.ids[reply.start :], device=model.device)
    # Where one has more rows of embeddings, they are beyond the vocabulary that both share.
    width = min(one.embed.num_embeddings for one in (model, reference) if one is not None)
    rows: list[dict[str, Any]] = []
    for part in chunks(len(targets_N), width):
        logprobs_NV = _logprobs(model, hidden_ND[part], width)
        chosen_N1 = logprobs_NV.gather(1, targets_N[part, None])
        if not torch.isfinite(chosen_N1).all():
            raise InputError("the model computes values that are not finite; its weights are damaged or it diverged")
        best = logprobs_NV.topk(min(top, width))
        found: dict[str, list[Any]] = {
            "logprob": chosen_N1[:, 0].tolist(),
            "top": [
                list(zip(*pair, strict=True)) for pair in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ],
        }
        if reference is not None and theirs_ND is not None:
            theirs_NV = _logprobs(reference, theirs_ND[part], width).to(logprobs_NV.device)
            found["log_ratio"] = (chosen_N1 - theirs_NV.gather(1, targets_N[part, None]))[:, 0].tolist()
            kl_N = (logprobs_NV.exp() * (logprobs_NV - theirs_NV)).sum(1)
            found["kl"] = kl_N.clamp_min(0).tolist()  # never below 0, but for rounding
        rows += [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    return rows


def _hidden(model: Transformer, reply: _Reply) -> Tensor:
    """(N, D): the states from which the reply's tokens are predicted, each at the position before its token."""
    ids_BT = torch.tensor([reply.ids[:-1]], device=model.device)
    only_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
    only_BT[:, reply.start - 1 :] = True
    return model.hidden(ids_BT, only_BT=only_BT)


def _logprobs(model: Transformer, hidden_ND: Tensor, width: int) -> Tensor:
    """(N, V), float32."""
    return torch.log_softmax(model.unembed(hidden_ND)[:, :width].float(), dim=-1)
