"""Scores of whole sequences do not know what they are batched with."""

from collections.abc import Callable

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
        torch.testing.assert_close(packed_scores(model, sequences, pad_id=0), alone, atol=1e-5, rtol=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "TOKEN_BUDGET", budget)
        torch.testing.assert_close(sequence_scores(model, sequences, pad_id=0), alone, atol=1e-5, rtol=0)


def test_gradients_of_packed_scores_are_those_one_by_one(tiny_scalar: Callable[..., ScalarModel]) -> None:
    model, sequences = tiny_scalar(), [[9, 8, 7], [11] * 10, [30, 31], [50]]
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0])
    parameters = [parameter for name, parameter in model.named_parameters() if "head" not in name]
    packed = torch.autograd.grad(packed_scores(model, sequences, 0) @ weights, parameters)
    alone = torch.stack([model(torch.tensor([ids]))[0, -1] for ids in sequences])
    for mine, theirs in zip(packed, torch.autograd.grad(alone @ weights, parameters), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
