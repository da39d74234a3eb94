"""Episodes that answer the same prompt: computed once, and yet as if each were alone."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preceptor.generation.sampling import SamplingConfig
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.text.packing import pad_batch
from preceptor.text.tokenizer import Tokenizer
from preceptor.training import rollout as module
from preceptor.training.rollout import Rollout, collect, response_logprobs, response_values
from preceptor.training.shared_prompts import Inputs, inputs, runs

PROMPTS = [[1, 4, 30, 31, 2, 5], [1, 4, 40, 2, 5], [5]]

episodes = st.lists(
    st.tuples(st.sampled_from(PROMPTS), st.lists(st.integers(7, 20), min_size=1, max_size=4)), min_size=1, max_size=7
)


def batch(written: list[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, ...]:
    """Ids, segments, mask and the number of the prompt, of prompts with responses."""
    ids, segments = pad_batch([[*prompt, *response] for prompt, response in written], 0)
    mask = torch.zeros(ids.shape[0], ids.shape[1] - 1, dtype=torch.bool)
    for row, (prompt, response) in enumerate(written):
        mask[row, len(prompt) - 1 : len(prompt) - 1 + len(response)] = True
    return ids, segments, mask, torch.tensor([PROMPTS.index(prompt) for prompt, _ in written])


@given(episodes)
def test_runs_hold_every_row_once_and_neighbours_with_one_prompt_together(
    written: list[tuple[list[int], list[int]]],
) -> None:
    groups = runs(batch(written)[3], range(len(written)))
    assert [row for group in groups for row in group] == list(range(len(written)))
    prompts = [[written[row][0] for row in group] for group in groups]
    assert all(prompt == group[0] for group in prompts for prompt in group)
    assert all(before[0] != after[0] for before, after in pairwise(prompts))


@given(episodes)
def test_each_state_stands_on_its_own_episode(written: list[tuple[list[int], list[int]]]) -> None:
    """What a chosen position sees, read off segments and branches, is the episode up to there."""
    read = inputs(*batch(written))
    seen = []
    for row, at in read.only.nonzero().tolist():
        branches = torch.zeros_like(read.ids[row]) if read.branches is None else read.branches[row]
        visible = [
            t
            for t in range(at + 1)
            if read.segments[row, t] == read.segments[row, at] and branches[t] in (0, branches[at])
        ]
        seen.append(read.ids[row, visible].tolist())
    expected = [[*prompt, *response[:n]] for prompt, response in written for n in range(len(response))]
    assert seen == expected


def test_episodes_without_a_prompt_in_common_stay_as_they_are() -> None:
    ids, segments, mask, numbers = batch([(PROMPTS[0], [7, 8]), (PROMPTS[1], [7])])
    read = inputs(ids, segments, mask, numbers)
    assert read.branches is None
    assert torch.equal(read.ids, ids[:, :-1])
    assert torch.equal(read.only, mask)


@pytest.fixture
def models(tiny_model: Callable[..., Transformer], tiny_scalar: Callable[..., ScalarModel]) -> dict[str, object]:
    return {
        "reference": tiny_model(seed=1),
        "critic": tiny_scalar(bias=0.25, seed=2),
        "reward_model": tiny_scalar(bias=-0.5, seed=3),
    }


@pytest.fixture
def rollout(tiny_model: Callable[..., Transformer], models: dict[str, object], tiny_tokenizer: Tokenizer) -> Rollout:
    """Three responses to each of three prompts, one of them a token long."""
    return collect(
        tiny_model(),
        PROMPTS,
        **models,  # type: ignore[arg-type]
        tokenizer=tiny_tokenizer,
        sampling=SamplingConfig(max_new_tokens=9),
        keys=[("x", i) for i in range(len(PROMPTS))],
        no_end_penalty=0.0,
        responses=3,
    )


def alone(ids: torch.Tensor, segments: torch.Tensor, mask: torch.Tensor, prompts: object) -> Inputs:
    """As if no prompt were shared."""
    return Inputs(ids[:, :-1], segments[:, :-1], mask, None)


def test_a_rollout_holds_the_responses_to_a_prompt_side_by_side(rollout: Rollout) -> None:
    assert len(rollout.ids) == 9
    for row in range(9):
        prompt = PROMPTS[row // 3]
        assert rollout.ids[row, : len(prompt)].tolist() == prompt
    assert len({tuple(ids) for ids in rollout.ids.tolist()}) == 9, "the samples of a prompt are drawn apart"


@pytest.mark.parametrize("rows", [list(range(9)), [3, 4, 5, 0, 1, 2], [8], [0, 2, 4, 7, 8]])
def test_what_is_shared_changes_no_number(
    rollout: Rollout,
    models: dict[str, object],
    tiny_model: Callable[..., Transformer],
    monkeypatch: pytest.MonkeyPatch,
    rows: list[int],
) -> None:
    part, policy, critic = rollout.take(rows), tiny_model(), models["critic"]
    assert isinstance(critic, ScalarModel)

    def compute() -> tuple[torch.Tensor, ...]:
        logprobs, spread = response_logprobs(policy, part.ids, part.segments, part.mask, 1.0, part.prompts)
        values = response_values(critic, part.ids, part.segments, part.mask, part.prompts)
        (logprobs.sum() + values.square().sum()).backward()
        gradient = torch.cat([p.grad.flatten() for m in (policy, critic) for p in m.parameters() if p.grad is not None])
        policy.zero_grad()
        critic.zero_grad()
        return logprobs.detach(), spread, values.detach(), gradient

    shared = compute()
    monkeypatch.setattr(module, "inputs", alone)
    for mine, theirs in zip(shared, compute(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(shared[0], part.logprobs, atol=2e-5, rtol=0)  # point 3: the ratios start at 1
    torch.testing.assert_close(shared[2], part.values, atol=2e-5, rtol=0)


def test_scores_are_those_of_each_alone(rollout: Rollout, models: dict[str, object]) -> None:
    reward_model = models["reward_model"]
    assert isinstance(reward_model, ScalarModel)
    for row in range(9):
        whole = rollout.ids[row, : int(rollout.segments[row].sum())].tolist()
        with torch.no_grad():
            score = reward_model(torch.tensor([whole if rollout.ended[row] else [*whole, 2]]))[0, -1]
        torch.testing.assert_close(rollout.scores[row], score, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("budget", "count"), [(1, 3), (70, 2), (10**6, 1)])
def test_groups_never_part_the_responses_to_a_prompt_and_keep_the_budget(
    rollout: Rollout, budget: int, count: int
) -> None:
    groups = rollout.groups([6, 7, 8, 0, 1, 2, 3, 4, 5], budget)
    assert sorted(row for group in groups for row in group) == list(range(9))
    assert len(groups) == count
    for group in groups:
        assert all(group[k : k + 3] == [group[k], group[k] + 1, group[k] + 2] for k in range(0, len(group), 3))
        part = rollout.take(group)
        read = inputs(part.ids, part.segments, part.mask, part.prompts)
        assert read.branches is not None
        assert len(read.ids) == len(group) // 3
        assert len(group) == 3 or read.ids.numel() <= budget


def test_one_prompt_in_two_places_is_computed_twice(
    tiny_model: Callable[..., Transformer], models: dict[str, object], tiny_tokenizer: Tokenizer
) -> None:
    """Neighbours by chance are not merged: a row twice as long would break the budget."""
    rollout = collect(
        tiny_model(),
        [PROMPTS[0], PROMPTS[1], PROMPTS[0]],
        **models,  # type: ignore[arg-type]
        tokenizer=tiny_tokenizer,
        sampling=SamplingConfig(max_new_tokens=9),
        keys=[("x", i) for i in range(3)],
        no_end_penalty=0.0,
        responses=2,
    )
    part = rollout.take([4, 5, 0, 1])
    read = inputs(part.ids, part.segments, part.mask, part.prompts)
    assert len(read.ids) == 2
    single = rollout.take([0, 4])
    assert inputs(single.ids, single.segments, single.mask, single.prompts).branches is None
