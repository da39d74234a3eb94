"""Where each head of each layer looks, for a text."""

from typing import Any

import torch
from torch import Tensor

from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer


@torch.no_grad()
def attention_maps(model: Transformer, ids_BT: Tensor, *, last: bool = False) -> list[Tensor]:
    """One (B, H, T, T) a layer: the share of attention that each position (third axis) gives to each (fourth).

    With ``last`` that of the last position alone, (B, H, 1, T): a long text has no room for all. They are made from
    what goes into the attention of each block in an ordinary pass, so they are those that the model uses. The pass
    must be the only one of this module at the time. Raises ValueError when the text does not fit the context.
    """
    maps: list[Tensor] = []

    def look(attention: Any, given: tuple[Any, ...]) -> None:
        x_BTD, turns, mask = given[:3]
        maps.append(attention.probabilities(x_BTD, turns, mask, last=last))

    blocks: list[Any] = list(model.blocks)
    hooks = [block.attention.register_forward_pre_hook(look) for block in blocks]
    try:
        model.hidden(ids_BT)
    finally:
        for hook in hooks:
            hook.remove()
    return maps


def attention_of(model: Transformer, ids: list[int], tokenizer: Tokenizer) -> dict[str, Any]:
    """``tokens`` as text and ``maps[layer][head][query][key]`` of a sequence, the begin token before it included."""
    ids = ids if tokenizer.bos_id is None else [tokenizer.bos_id, *ids]
    maps = attention_maps(model, torch.tensor([ids], device=model.device))
    tokens = ["begin" if token in tokenizer.special_ids else tokenizer.decode([token]) for token in ids]
    return {
        "tokens": tokens,
        "maps": [[[[round(x, 4) for x in row] for row in head] for head in layer[0].tolist()] for layer in maps],
    }
