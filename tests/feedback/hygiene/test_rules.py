"""The rules that turn collected prompts into a dataset."""

import pytest

from preceptor.errors import InputError
from preceptor.feedback.hygiene import (
    cap_per_user,
    drop_duplicates,
    drop_shared_prefixes,
)

from .prompts import ids, prompt


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
