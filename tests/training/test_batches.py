"""Which examples a step sees."""

from collections import Counter
from itertools import pairwise, product

from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.training.batches import batch_at, group_by_length, steps_of

SETTINGS = settings(deadline=None, max_examples=60)


@SETTINGS
@given(
    count=st.integers(1, 40), batch=st.integers(1, 60), epochs=st.integers(1, 4), seed=st.integers(0, 9), data=st.data()
)
def test_every_index_comes_once_an_epoch(count: int, batch: int, epochs: int, seed: int, data: st.DataObject) -> None:
    steps = -(-count * epochs // batch)
    drawn = [batch_at(step, count=count, batch=batch, seed=seed, key="x") for step in range(steps)]
    assert all(len(one) == batch for one in drawn)
    flat = [index for one in drawn for index in one]
    for epoch in range(epochs):
        assert sorted(flat[epoch * count : (epoch + 1) * count]) == list(range(count))
    step = data.draw(st.integers(0, steps - 1))
    assert batch_at(step, count=count, batch=batch, seed=seed, key="x") == drawn[step], "whatever was asked before"


def test_epochs_keys_and_seeds_have_orders_of_their_own() -> None:
    def order(step: int, seed: int, key: str) -> tuple[int, ...]:
        return tuple(batch_at(step, count=30, batch=30, seed=seed, key=key))

    orders = [order(0, 0, "sft"), order(1, 0, "sft"), order(0, 1, "sft"), order(0, 0, "ppo")]
    assert len(set(orders)) == 4


@SETTINGS
@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=30), budget=st.integers(1, 120), data=st.data())
def test_groups_hold_every_example_once_within_the_budget(lengths: list[int], budget: int, data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True))
    groups = group_by_length(indices, lengths, budget)
    assert Counter(index for group in groups for index in group) == Counter(indices)
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[i] for i in group) <= budget
    longest = [lengths[i] for group in groups for i in group]
    assert longest == sorted(longest, reverse=True), "groups are of similar length"


@SETTINGS
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=9), budget=st.integers(16, 200))
def test_no_other_cut_into_micro_batches_is_cheaper(lengths: list[int], budget: int) -> None:
    def cost(groups: list[list[int]]) -> float:
        return sum(len(group) * max(lengths[i] for i in group) + budget / 16 for group in groups)

    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    ways = []
    for cuts in product([False, True], repeat=len(order) - 1):
        edges = [0, *(i for i, cut in enumerate(cuts, start=1) if cut), len(order)]
        groups = [order[start:stop] for start, stop in pairwise(edges)]
        if all(len(group) == 1 or len(group) * lengths[group[0]] <= budget for group in groups):
            ways.append(cost(groups))
    assert cost(group_by_length(range(len(lengths)), lengths, budget)) == min(ways)


def test_steps_make_the_stated_passes() -> None:
    assert steps_of(100, 10, 3) == 30
    assert steps_of(100, 10, 0.25) == 2
    assert steps_of(1, 10, 0.01) == 1
    # Fewer examples than a batch are one batch: six passes are six steps, not round(60 / 32) = 2.
    assert steps_of(10, 32, 6) == 6
