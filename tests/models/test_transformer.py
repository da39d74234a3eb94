"""The decoder: nothing that is padding, packed beside it, cached or later changes what a token sees.

The numbers of the points are those of the list "What makes RLHF work".
"""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from preceptor.keyed import torch_rng
from preceptor.models.attention import KVCache
from preceptor.models.masks import segment_mask, segment_positions
from preceptor.models.transformer import Transformer

MakeModel = Callable[..., Transformer]
FAMILIES = ("llama", "gpt2")
VOCABULARY = 270


def ids_of(seed: int, *shape: int) -> torch.Tensor:
    return torch.randint(7, VOCABULARY, shape, generator=torch_rng(seed, "ids"))


def logprobs(model: Transformer, ids: torch.Tensor, segments: torch.Tensor | None = None) -> torch.Tensor:
    """(B, T - 1): of each token after the first."""
    table = model(ids, segments)[:, :-1].log_softmax(-1)
    return table.gather(2, ids[:, 1:, None])[..., 0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pad", [1, 3, 11])
def test_point_2_left_padding_changes_no_logprob(tiny_model: MakeModel, family: str, pad: int) -> None:
    model = tiny_model(family)
    lengths = [9, 4, 6]
    bare = [ids_of(length, 1, length) for length in lengths]
    width = max(lengths) + pad
    padded, segments = torch.zeros(3, width, dtype=torch.int64), torch.zeros(3, width, dtype=torch.int64)
    for row, ids in enumerate(bare):
        padded[row, width - ids.shape[1] :] = ids
        segments[row, width - ids.shape[1] :] = 1
    with torch.no_grad():
        batched = logprobs(model, padded, segments)
        for row, ids in enumerate(bare):
            alone = logprobs(model, ids)[0]
            torch.testing.assert_close(batched[row, width - ids.shape[1] :], alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("causal", [True, False])
def test_point_2_packed_segments_see_themselves_alone(tiny_model: MakeModel, family: str, causal: bool) -> None:
    model = tiny_model(family, causal=causal)
    parts = [ids_of(length, 1, length) for length in (5, 1, 8)]
    ids = torch.cat([*parts, torch.zeros(1, 3, dtype=torch.int64)], dim=1)
    segments = torch.tensor([[1] * 5 + [2] + [3] * 8 + [0] * 3])
    with torch.no_grad():
        packed = model.hidden(ids, segments)
        assert packed.isfinite().all(), "a padding token looks at itself at least"
        at = 0
        for part in parts:
            alone = model.hidden(part)
            torch.testing.assert_close(packed[:, at : at + part.shape[1]], alone, atol=1e-5, rtol=1e-5)
            at += part.shape[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_right_padding_needs_no_mask_and_changes_nothing(tiny_model: MakeModel, family: str) -> None:
    model, ids = tiny_model(family), ids_of(0, 2, 9)
    segments = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
    assert segment_mask(segments, causal=True) is None
    with torch.no_grad():
        torch.testing.assert_close(model(ids, segments)[1, :5], model(ids[1:, :5])[0], atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=3), st.booleans())
def test_segment_mask_and_positions_equal_brute_force(rows: list[list[int]], causal: bool) -> None:
    segments = torch.tensor([sorted(row, key=lambda one: (one == 0, one)) for row in rows])  # contiguous, pads last
    T = segments.shape[1]
    mask, positions = segment_mask(segments, causal), segment_positions(segments)
    for b, row in enumerate(segments.tolist()):
        for query in range(T):
            assert positions[b, query] == query - row.index(row[query])
            seen = [key for key in range(T) if row[key] == row[query] and (key <= query or not causal)]
            if mask is not None:
                assert mask[b, 0, query].nonzero().flatten().tolist() == seen
            elif row[query] != 0:  # plain causal attention must do the same for real tokens
                assert seen == list(range(query + 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_causal_models_do_not_look_ahead_and_bidirectional_ones_do(tiny_model: MakeModel, family: str) -> None:
    ids = ids_of(0, 1, 8)
    changed = ids.clone()
    changed[0, 5] = ids[0, 5] % (VOCABULARY - 8) + 8
    for causal in (True, False):
        model = tiny_model(family, causal=causal)
        with torch.no_grad():
            same = (model(ids) == model(changed)).all(-1)[0]
        assert same[:5].all() if causal else not same.any()
        assert not same[5:].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_cached_passes_over_ragged_rows_equal_whole_ones(tiny_model: MakeModel, family: str) -> None:
    model = tiny_model(family)
    lengths, extra = [7, 3, 5], 4
    whole = ids_of(0, 3, max(lengths) + extra)
    cache = KVCache.empty(model.config, 3, 16, model.embed.weight)
    with torch.no_grad():
        for row, length in enumerate(lengths):
            one = KVCache.empty(model.config, 1, 16, model.embed.weight)
            model.hidden(whole[row : row + 1, :length], cache=one)
            cache.copy_rows(one, torch.tensor([0]), torch.tensor([row]), length)
        assert cache.lengths.tolist() == lengths
        for step in range(extra):
            fed = torch.stack([whole[row, length + step] for row, length in enumerate(lengths)])[:, None]
            hidden = model.hidden(fed, cache=cache)
            for row, length in enumerate(lengths):
                full = model.hidden(whole[row : row + 1, : length + step + 1])
                torch.testing.assert_close(hidden[row, 0], full[0, -1], atol=1e-5, rtol=1e-5)
        cache.keep_rows(torch.tensor([2]))
        last = model.hidden(whole[2:3, 9:10], cache=cache)
        torch.testing.assert_close(last[0, 0], model.hidden(whole[2:3, :10])[0, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_point_3_there_is_no_dropout_anywhere(tiny_model: MakeModel, tiny_scalar: Callable, family: str) -> None:
    ids = ids_of(0, 2, 9)
    for model in (tiny_model(family), tiny_scalar(family=family)):
        assert not [module for module in model.modules() if isinstance(module, nn.modules.dropout._DropoutNd)]
        with torch.no_grad():
            assert torch.equal(model.train()(ids), model.eval()(ids))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_position_beyond_the_context_is_refused(tiny_model: MakeModel, family: str) -> None:
    model = tiny_model(family, max_position_embeddings=8)
    with pytest.raises(ValueError, match="9 positions do not fit the context of 8"):
        model(ids_of(0, 1, 9))
    cache = KVCache.empty(model.config, 1, 9, model.embed.weight)
    model.hidden(ids_of(0, 1, 8), cache=cache)
    with pytest.raises(ValueError, match="9 positions"):
        model.hidden(ids_of(0, 1, 1), cache=cache)
    # Two segments of 5 are fine: each has positions of its own.
    model(ids_of(0, 1, 10), torch.tensor([[1] * 5 + [2] * 5]))


def test_initial_weights_are_gpt_2s(tiny_model: MakeModel) -> None:
    model = tiny_model("gpt2", hidden_size=64, intermediate_size=256, num_hidden_layers=8)
    model.initialise(torch_rng(1, "weights"))
    assert model.head.weight is model.embed.weight
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == (0.0 if name.endswith("bias") else 1.0)).all()
        else:
            residual = name.endswith(("attention.out.weight", "mlp.down.weight"))
            assert parameter.std().item() == pytest.approx(0.02 / 4 if residual else 0.02, rel=0.05), name
