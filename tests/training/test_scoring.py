"""Scores of whole sequences do not know what they are batched with."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preceptor.models.heads import ScalarModel
from preceptor.training import scoring
from preceptor.training.scoring import packed_scores, sequence_scores

SEQUENCES = st.lists(st.lists(st.integers(1, 269), min_size=1, max_size=20), min_size=1, max_size=8)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequences=SEQUENCES, family=st.sampled_from(["llama", "gpt2"]), budget=st.sampled_from([1, 40, 4096]))
def test_points_5_and_15_a_score_is_read_at_the_last_token_whatever_the_neighbours(
    tiny_scalar: Callable[..., ScalarModel], sequences: list[list[int]], family: str, budget: int
) -> None:
    model = tiny_scalar(bias=0.3, family=family)
    with torch.no_grad():
        alone = torch.stack([model(torch.tensor([ids]))[0, -1] for ids in sequences])
        torch.testing.assert_close(
            packed_scores(model, [[ids] for ids in sequences], pad_id=0), alone, atol=1e-5, rtol=0
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "TOKEN_BUDGET", budget)
        torch.testing.assert_close(sequence_scores(model, sequences, pad_id=0), alone, atol=1e-5, rtol=0)


BEGINNINGS = st.lists(st.integers(1, 269), max_size=12)
GROUPS = st.lists(st.tuples(BEGINNINGS, SEQUENCES), min_size=1, max_size=4)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(groups=GROUPS, family=st.sampled_from(["llama", "gpt2"]))
def test_responses_that_share_a_prompt_score_as_if_each_were_alone(
    tiny_scalar: Callable[..., ScalarModel], groups: list[tuple[list[int], list[list[int]]]], family: str
) -> None:
    model = tiny_scalar(bias=0.3, family=family)
    whole = [[beginning + rest for rest in rests] for beginning, rests in groups]
    with torch.no_grad():
        alone = torch.stack([model(torch.tensor([ids]))[0, -1] for group in whole for ids in group])
        torch.testing.assert_close(packed_scores(model, whole, pad_id=0), alone, atol=1e-5, rtol=0)


def test_a_shared_prompt_is_computed_once(tiny_scalar: Callable[..., ScalarModel]) -> None:
    model, seen = tiny_scalar(), []
    model.trunk.embed.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    prompt = [*range(1, 11)]
    packed_scores(model, [[[*prompt, 20], [*prompt, 21, 22], [*prompt, 20]], [[5, 6], [5, 6]]], pad_id=0)
    (ids,) = seen
    assert (ids != 0).sum() == 10 + 1 + 2 + 1 + 3
    model.trunk.config = replace(model.trunk.config, causal=False)
    with pytest.raises(ValueError, match="branches"):
        packed_scores(model, [[[*prompt, 20], [*prompt, 21, 22]]], pad_id=0)


def test_gradients_of_packed_scores_are_those_one_by_one(tiny_scalar: Callable[..., ScalarModel]) -> None:
    model, groups = tiny_scalar(), [[[9, 8, 7]], [[11] * 10, [11] * 5 + [3], [11, 12]], [[30, 31]], [[50], [50, 1]]]
    sequences = [ids for group in groups for ids in group]
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.7, -1.1, 2.0])
    parameters = [parameter for name, parameter in model.named_parameters() if "head" not in name]
    packed = torch.autograd.grad(packed_scores(model, groups, 0) @ weights, parameters)
    alone = torch.stack([model(torch.tensor([ids]))[0, -1] for ids in sequences])
    for mine, theirs in zip(packed, torch.autograd.grad(alone @ weights, parameters), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
