"""The reward model's scores and the KL of finished answers, against the plain way of computing them."""

from collections.abc import Callable

import pytest
import torch

from preceptor.algorithms import language
from preceptor.evaluation.answers import Answer
from preceptor.evaluation.scoring import reward_scores, sequence_kl
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer

ANSWERS = [
    Answer("", [1, 4, 20, 5], [30, 31, 2], True),
    Answer("", [1, 4, 21, 22, 23, 24, 5], [40, 2], True),
    Answer("", [1, 4, 5], [50, 51, 52, 53, 54, 55, 56], False),
    Answer("", [1, 5], [2], True),
]


def test_scores_are_read_at_the_last_token_and_ignore_neighbours(tiny_scalar: Callable[..., ScalarModel]) -> None:
    model = tiny_scalar(bias=0.3).eval()
    with torch.no_grad():
        alone = [float(model(torch.tensor([[*one.prompt, *one.ids]]))[0, -1]) for one in ANSWERS]
    assert reward_scores(model, ANSWERS) == pytest.approx(alone, abs=1e-5)
    assert reward_scores(model, []) == []


def test_an_unfinished_answer_is_read_as_if_it_ended_there(tiny_scalar: Callable[..., ScalarModel]) -> None:
    model = tiny_scalar()
    cut, whole = Answer("", [1, 4, 5], [50, 51], False, end_id=2), Answer("", [1, 4, 5], [50, 51, 2], True, end_id=2)
    assert reward_scores(model, [cut]) == pytest.approx(reward_scores(model, [whole]), abs=1e-5)
    room = model.trunk.context - 3  # where there is none left, the end takes the place of the last token
    cut = Answer("", [1, 4, 5], [50] * room, False, end_id=2)
    whole = Answer("", [1, 4, 5], [50] * (room - 1) + [2], True, end_id=2)
    assert reward_scores(model, [cut]) == pytest.approx(reward_scores(model, [whole]), abs=1e-5)


@pytest.mark.parametrize("rows", [128, 2])
def test_kl_is_the_sum_over_response_tokens(
    tiny_model: Callable[..., Transformer], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "_FEWEST_ROWS", rows)
    monkeypatch.setattr(language, "_CHUNK_BYTES", 1)
    policy, reference = tiny_model(seed=0).eval(), tiny_model(seed=1).eval()
    expected = []
    for one in ANSWERS:
        ids = torch.tensor([[*one.prompt, *one.ids]])
        with torch.no_grad():
            p, q = (model(ids)[0].log_softmax(-1) for model in (policy, reference))
        places = range(len(one.prompt) - 1, ids.shape[1] - 1)  # the states in which response tokens were drawn
        expected.append(sum(float((p[at].exp() * (p[at] - q[at])).sum()) for at in places))
    assert sequence_kl(policy, reference, ANSWERS) == pytest.approx(expected, rel=1e-4)
    assert min(expected) > 0


def test_a_policy_does_not_diverge_from_itself(tiny_model: Callable[..., Transformer]) -> None:
    model = tiny_model().eval()
    assert sequence_kl(model, model, ANSWERS) == [0.0] * len(ANSWERS)


def test_kl_agrees_with_the_mean_log_ratio_of_samples(tiny_model: Callable[..., Transformer]) -> None:
    """On one token both estimate the same: draw many, compare."""
    policy, reference = tiny_model(seed=0).eval(), tiny_model(seed=1).eval()
    prompt = [1, 4, 20, 5]
    with torch.no_grad():
        p, q = (model(torch.tensor([prompt]))[0, -1].log_softmax(-1) for model in (policy, reference))
    drawn = torch.multinomial(p.exp(), 20_000, replacement=True, generator=torch.Generator().manual_seed(0))
    ratios = (p - q)[drawn]
    exact = sequence_kl(policy, reference, [Answer("", prompt, [30], False)])[0]
    assert abs(float(ratios.mean()) - exact) < 4 * float(ratios.std()) / 20_000**0.5
