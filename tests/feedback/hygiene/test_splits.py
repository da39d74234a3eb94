"""The split by user."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.feedback.hygiene import part_of, split_by_user

from .prompts import prompt


def test_split_by_user_keeps_users_whole_and_meets_the_shares() -> None:
    rows = [prompt(n, user=f"user {n % 500}") for n in range(2000)]
    parts = split_by_user(rows, {"train": 0.7, "dev": 0.1, "heldout": 0.2}, seed=3)
    users = {part: {row.user for row in rows} for part, rows in parts.items()}
    assert not users["train"] & users["heldout"]
    assert not users["dev"] & (users["train"] | users["heldout"])
    assert sum(len(rows) for rows in parts.values()) == 2000
    assert abs(len(users["train"]) / 500 - 0.7) < 0.06  # three standard deviations


@given(st.text(), st.integers(0, 2**31))
def test_a_user_never_moves_when_the_rest_changes(user: str, seed: int) -> None:
    shares = {"train": 0.8, "heldout": 0.2}
    alone = split_by_user([prompt(1, user=user)], shares, seed)
    among = split_by_user([prompt(n, user=f"{n}") for n in range(5)] + [prompt(9, user=user)], shares, seed)
    part = part_of(user, shares, seed)
    assert alone[part]
    assert any(row.id == "p9" for row in among[part])


def test_a_part_without_a_share_gets_nobody_and_all_parts_are_there() -> None:
    parts = split_by_user([prompt(n, user=str(n)) for n in range(99)], {"none": 0, "all": 2}, 0)
    assert parts["none"] == []
    assert len(parts["all"]) == 99


@pytest.mark.parametrize("shares", [{}, {"a": 0.0}, {"a": -1.0, "b": 2.0}, {"a": float("inf")}])
def test_shares_that_mean_nothing_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(InputError, match="shares"):
        part_of("ann", shares, 0)
