"""Attention maps: rows sum to one, and they are what the model multiplies its values by."""

from collections.abc import Callable

import pytest
import torch

from preceptor.keyed import torch_rng
from preceptor.models.attention_maps import attention_maps
from preceptor.models.transformer import Transformer


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("causal", [True, False])
def test_maps_are_what_the_model_uses(tiny_model: Callable[..., Transformer], family: str, causal: bool) -> None:
    model = tiny_model(family=family, causal=causal)
    ids = torch.randint(7, 250, (2, 9), generator=torch_rng(0, "ids"))
    before = model(ids)
    given: list[tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]] = []
    hooks = [
        block.attention.register_forward_hook(lambda _, args, out: given.append((args[0], args[1], out)))
        for block in model.blocks
    ]
    maps = attention_maps(model, ids)
    for hook in hooks:
        hook.remove()
    assert torch.equal(model(ids), before), "looking changes nothing"
    for whole, row in zip(maps, attention_maps(model, ids, last=True), strict=True):
        torch.testing.assert_close(row, whole[:, :, -1:])
    assert len(maps) == len(given) == 2
    for block, weights, (x, turns, out) in zip(model.blocks, maps, given, strict=True):
        assert weights.shape == (2, 4, 9, 9)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 9))
        assert bool((weights.triu(1) == 0).all()) == causal
        attention = block.attention
        _, _, values = attention.heads_of(x, turns)
        values = values.repeat_interleave(attention.heads // attention.kv_heads, dim=1)
        mixed = (weights @ values).transpose(1, 2).reshape(2, 9, -1)
        torch.testing.assert_close(attention.out(mixed), out)
