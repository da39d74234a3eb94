"""The scalar head of reward model and critic."""

from collections.abc import Callable

import pytest
import torch

from preceptor.keyed import torch_rng
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer


def test_point_13_the_head_starts_small_and_without_bias(tiny_model: Callable[..., Transformer]) -> None:
    model = ScalarModel(tiny_model(hidden_size=1024, intermediate_size=8, num_hidden_layers=1))
    model.score.bias.data.fill_(3.0)
    model.initialise_head(torch_rng(0, "head"))
    assert model.score.bias.tolist() == [0.0]
    assert model.score.weight.std().item() == pytest.approx((1024 + 1) ** -0.5, rel=0.08)
    assert abs(model.score.weight.mean().item()) < 4 * (1024 * 1025) ** -0.5


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_point_15_a_score_depends_on_nothing_beside_its_sequence(
    tiny_scalar: Callable[..., ScalarModel], family: str
) -> None:
    model = tiny_scalar(bias=0.7, family=family)
    ids = torch.randint(7, 270, (1, 6), generator=torch_rng(0, "ids"))
    with torch.no_grad():
        alone = model(ids)[0]
        for left, right, filler in [(0, 4, 0), (3, 0, 0), (2, 5, 99)]:
            padded = torch.full((1, left + 6 + right), filler)
            padded[:, left : left + 6] = ids
            segments = torch.zeros_like(padded)
            segments[:, left : left + 6] = 1
            torch.testing.assert_close(model(padded, segments)[0, left : left + 6], alone, atol=1e-5, rtol=0)


def test_scores_are_float32_one_a_position_and_the_bias_shifts_them(tiny_scalar: Callable[..., ScalarModel]) -> None:
    model, ids = tiny_scalar(), torch.randint(7, 270, (3, 5), generator=torch_rng(0, "ids"))
    with torch.no_grad():
        before = model(ids)
        model.score.bias += 2.5
        assert before.shape == (3, 5)
        assert before.dtype == torch.float32
        torch.testing.assert_close(model(ids), before + 2.5)
