"""The rules that turn collected prompts into a dataset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.feedback.hygiene import (
    cap_per_user,
    drop_duplicates,
    drop_shared_prefixes,
    part_of,
    split_by_user,
)
from preceptor.feedback.schema import Prompt
from preceptor.text.conversation import Message


def prompt(number: int, text: str = "", user: str = "ann", system: str = "") -> Prompt:
    messages = [Message(role="system", content=system)] if system else []
    return Prompt(
        id=f"p{number}", user=user, messages=[*messages, Message(role="user", content=text or f"question {number}")]
    )


def ids(prompts: list[Prompt]) -> list[str]:
    return [row.id for row in prompts]


def test_no_user_keeps_more_than_the_limit_and_nobody_else_loses() -> None:
    rows = [prompt(n, user="busy") for n in range(300)] + [prompt(n, user="calm") for n in range(300, 310)]
    kept = cap_per_user(rows)
    assert sum(row.user == "busy" for row in kept) == 200
    assert sum(row.user == "calm" for row in kept) == 10
    assert ids(kept) == sorted(ids(kept), key=lambda name: int(name[1:]))


def test_which_prompts_are_kept_does_not_depend_on_their_order() -> None:
    rows = [prompt(n) for n in range(50)]
    assert set(ids(cap_per_user(rows, 7))) == set(ids(cap_per_user(rows[::-1], 7)))
    assert set(ids(cap_per_user(rows, 7))) != set(ids(rows[:7])), "the first ones would be a biased choice"


def test_a_limit_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        cap_per_user([prompt(1)], 0)


def test_only_the_first_of_a_filled_template_is_kept() -> None:
    rows = [
        prompt(1, "Write a poem about cats"),
        prompt(2, "write  a poem about dogs"),
        prompt(3, "Write a story about cats"),
        prompt(4, "Write a poem"),
        prompt(5, "Write a poem"),
    ]
    assert ids(drop_shared_prefixes(rows, 4)) == ["p1", "p3", "p4", "p5"]


def test_a_shared_system_message_is_not_a_shared_prefix() -> None:
    rows = [prompt(1, "Why is the sky blue?", system="Be nice."), prompt(2, "Who are you?", system="Be nice.")]
    assert ids(drop_shared_prefixes(rows, 2)) == ["p1", "p2"]


def test_duplicates_are_seen_through_case_and_spaces_but_not_through_instructions() -> None:
    rows = [prompt(1, "Hello  there"), prompt(2, "hello there"), prompt(3, "hello there", system="Be rude.")]
    assert ids(drop_duplicates(rows)) == ["p1", "p3"]


def test_duplicates_are_dropped_across_splits() -> None:
    seen: set[tuple[tuple[str, str], ...]] = set()
    drop_duplicates([prompt(1, "Hello")], seen)
    assert ids(drop_duplicates([prompt(2, "hello"), prompt(3, "bye")], seen)) == ["p3"]


def test_split_by_user_keeps_users_whole_and_meets_the_shares() -> None:
    rows = [prompt(n, user=f"user {n % 500}") for n in range(2000)]
    parts = split_by_user(rows, {"train": 0.7, "dev": 0.1, "heldout": 0.2}, seed=3)
    users = {part: {row.user for row in rows} for part, rows in parts.items()}
    assert not users["train"] & users["heldout"]
    assert not users["dev"] & (users["train"] | users["heldout"])
    assert sum(len(rows) for rows in parts.values()) == 2000
    assert abs(len(users["train"]) / 500 - 0.7) < 0.06


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
