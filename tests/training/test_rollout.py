"""A rollout carries its own truth: what was drawn, with which probability, and what it was worth."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from preceptor.algorithms.kl import episode_kl, per_token_rewards
from preceptor.generation.engine import Generation
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.text.tokenizer import Tokenizer
from preceptor.training import rollout as module
from preceptor.training.rollout import Rollout, assess, collect, response_logprobs, response_values

PROMPTS = [[1, 4, 30, 31, 2, 5], [1, 4, 40, 2, 5], [1, 4, 50, 51, 52, 53, 2, 5]] * 4
TEMPERATURES = [0.7, 1.0, 1.6]


@pytest.fixture
def policy(tiny_model: Callable[..., Transformer]) -> Transformer:
    """A model that ends about half of its responses within the limit."""
    model = tiny_model(tie_word_embeddings=False)
    with torch.no_grad():
        model.head.weight[2] *= 8.0
    return model


Roll = Callable[..., Rollout]


@pytest.fixture
def roll(
    policy: Transformer,
    tiny_model: Callable[..., Transformer],
    tiny_scalar: Callable[..., ScalarModel],
    tiny_tokenizer: Tokenizer,
) -> Roll:
    """roll(temperature=1.0, no_end_penalty=0.0): a rollout; roll.models are those that made it."""
    models = {
        "reference": tiny_model(seed=1),
        "critic": tiny_scalar(bias=0.25, seed=2),
        "reward_model": tiny_scalar(bias=-0.5, seed=3),
    }

    def make(temperature: float = 1.0, no_end_penalty: float = 0.0, **keys: float) -> Rollout:
        return collect(
            policy,
            PROMPTS,
            **models,
            tokenizer=tiny_tokenizer,
            sampling=SamplingConfig(temperature=temperature, max_new_tokens=12, **keys),
            keys=[("x", i) for i in range(len(PROMPTS))],
            no_end_penalty=no_end_penalty,
        )

    make.models = models  # type: ignore[attr-defined]
    return make


def responses(rollout: Rollout) -> list[list[int]]:
    return [ids[1:][mask].tolist() for ids, mask in zip(rollout.ids, rollout.mask, strict=True)]


def test_the_mask_covers_the_response_and_nothing_else(roll: Roll) -> None:
    rollout = roll()
    for row, prompt in enumerate(PROMPTS):
        real = int(rollout.segments[row].sum())
        assert rollout.ids[row, : len(prompt)].tolist() == prompt
        columns = rollout.mask[row].nonzero().flatten().tolist()
        assert columns == list(range(len(prompt) - 1, real - 1)), "column t belongs to the token at t + 1"
        assert rollout.lengths[row] == len(columns) >= 1
        assert (rollout.ids[row, real:] == 0).all()
        for tensor in (rollout.logprobs, rollout.ref_logprobs, rollout.values):
            assert (tensor[row][~rollout.mask[row]] == 0).all()
    assert (rollout.logprobs[rollout.mask] < 0).all()


def test_point_5_nothing_follows_the_end_and_the_reward_model_reads_there(roll: Roll) -> None:
    rollout = roll()
    assert 0 < rollout.ended.sum() < len(PROMPTS), "this toy must show both"
    for row, response in enumerate(responses(rollout)):
        assert 2 not in response[:-1]
        assert (response[-1] == 2) == bool(rollout.ended[row])
        assert rollout.ended[row] or len(response) == 12
        end = [] if rollout.ended[row] else [2]  # read as if it ended there, as every response in rankings does
        whole = torch.tensor([[*PROMPTS[row], *response, *end]])
        with torch.no_grad():
            score = roll.models["reward_model"](whole)[0, -1]  # type: ignore[attr-defined]
        torch.testing.assert_close(rollout.scores[row], score, atol=1e-5, rtol=0)


def test_point_6_a_response_without_its_end_loses_the_penalty(roll: Roll) -> None:
    bare, fined = roll(), roll(no_end_penalty=1.5)
    assert torch.equal(bare.ids, fined.ids)
    torch.testing.assert_close(fined.scores, bare.scores - 1.5 * (~bare.ended).float())


def test_point_7_rewards_sum_to_score_minus_beta_times_kl_on_a_real_rollout(roll: Roll) -> None:
    rollout, beta = roll(no_end_penalty=0.5), 0.3
    rewards = per_token_rewards(rollout.scores, rollout.logprobs, rollout.ref_logprobs, rollout.mask, beta)
    differences = rollout.logprobs - rollout.ref_logprobs
    for row in range(len(PROMPTS)):
        mask = rollout.mask[row]
        total = rollout.scores[row] - beta * differences[row][mask].sum()
        torch.testing.assert_close(rewards[row].sum(), total, atol=1e-5, rtol=1e-5)
        bare = rewards[row] + beta * differences[row]  # without the KL there is the score, once, at the last token
        last = int(mask.nonzero().max())
        torch.testing.assert_close(bare[last], rollout.scores[row], atol=1e-5, rtol=1e-5)
        bare[last] = 0
        torch.testing.assert_close(bare, torch.zeros_like(bare), atol=1e-6, rtol=0)
        assert int(rollout.segments[row].sum()) == last + 2, "the last response token is the last real one"
    kl = episode_kl(rollout.logprobs, rollout.ref_logprobs, rollout.mask)
    torch.testing.assert_close(rewards.sum(1), rollout.scores - beta * kl, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_point_4_rollout_reference_and_update_divide_by_the_same_temperature(
    roll: Roll, policy: Transformer, temperature: float
) -> None:
    rollout = roll(temperature)
    with torch.no_grad():
        again, spread = response_logprobs(policy, rollout.ids, rollout.segments, rollout.mask, temperature)
        tables = {
            name: (model(rollout.ids, rollout.segments)[:, :-1] / temperature).log_softmax(-1)
            for name, model in [("policy", policy), ("reference", roll.models["reference"])]  # type: ignore[attr-defined]
        }
    expected = {name: table.gather(2, rollout.ids[:, 1:, None])[..., 0] for name, table in tables.items()}
    mask = rollout.mask
    torch.testing.assert_close(rollout.logprobs[mask], expected["policy"][mask], atol=2e-5, rtol=0)
    torch.testing.assert_close(again[mask], expected["policy"][mask], atol=2e-5, rtol=0)
    torch.testing.assert_close(rollout.ref_logprobs[mask], expected["reference"][mask], atol=2e-5, rtol=0)
    table = tables["policy"][mask]
    torch.testing.assert_close(spread, -(table.exp() * table).sum(-1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_point_3_unchanged_weights_give_ratio_1(roll: Roll, policy: Transformer, temperature: float) -> None:
    rollout = roll(temperature)
    for training in (True, False):
        policy.train(training)
        for rows in ([0], [3, 1, 2], list(range(len(PROMPTS)))):  # in whatever company and width
            part = rollout.take(rows)
            new, _ = response_logprobs(policy, part.ids, part.segments, part.mask, temperature)
            assert (new - part.logprobs).abs().max() < 1e-4


@pytest.mark.parametrize("cut", [{"top_k": 5}, {"top_p": 0.9}])
def test_point_4_rollouts_refuse_top_k_and_top_p(roll: Roll, cut: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="top_k must be 0 and top_p 1"):
        roll(**cut)


def test_values_are_the_critics_before_each_response_token(roll: Roll) -> None:
    rollout = roll()
    critic = roll.models["critic"]  # type: ignore[attr-defined]
    with torch.no_grad():
        for row, response in enumerate(responses(rollout)):
            whole = critic(torch.tensor([[*PROMPTS[row], *response]]))[0]
            states = whole[len(PROMPTS[row]) - 1 : -1]
            torch.testing.assert_close(rollout.values[row][rollout.mask[row]], states, atol=1e-5, rtol=0)
        again = response_values(critic, rollout.ids, rollout.segments, rollout.mask)
    torch.testing.assert_close(again, rollout.values, atol=1e-5, rtol=0)


def test_point_8_an_episode_does_not_know_its_neighbours(
    roll: Roll, tiny_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = roll(no_end_penalty=1.0)
    episodes = [
        Generation(prompt, response, rollout.logprobs[row][rollout.mask[row]].tolist(), reason)
        for row, (prompt, response) in enumerate(zip(PROMPTS, responses(rollout), strict=True))
        for reason in ["stop" if rollout.ended[row] else "length"]
    ]
    monkeypatch.setattr(module, "TOKEN_BUDGET", 1)
    for row, episode in enumerate(episodes):
        models = roll.models  # type: ignore[attr-defined]
        alone = assess([episode], **models, tokenizer=tiny_tokenizer, temperature=1.0, no_end_penalty=1.0)
        among = rollout.take([row])
        for name in ("ids", "segments", "mask", "ended"):
            assert torch.equal(getattr(alone, name), getattr(among, name)), name
        for name in ("logprobs", "ref_logprobs", "values", "scores"):
            torch.testing.assert_close(getattr(alone, name), getattr(among, name), atol=1e-5, rtol=0)


def test_take_cuts_padding_alone_and_groups_hold_every_row_once(roll: Roll) -> None:
    rollout = roll()
    rows = [5, 2, 7, 0, 11]
    groups = rollout.groups(rows, 30)
    assert sorted(row for group in groups for row in group) == sorted(rows)
    assert len(groups) > 1
    part = rollout.take(rows)
    width = part.ids.shape[1]
    assert (part.segments.sum(1) == rollout.segments[rows].sum(1)).all()
    assert part.segments[:, -1].any(), "as wide as the longest of them"
    assert part.mask.shape == (5, width - 1)
    assert torch.equal(part.mask.sum(1), rollout.lengths[rows])
    assert torch.equal(part.scores, rollout.scores[rows])
    assert replace(rollout).take(range(len(PROMPTS))).ids.shape == rollout.ids.shape
