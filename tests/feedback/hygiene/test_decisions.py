"""The rules as statements on tables are the rules on lists; and each is what a comparison of all with all says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.feedback.hygiene import cap_per_user, decisions, drop_duplicates, drop_shared_prefixes
from preceptor.feedback.hygiene.staging import Staging
from preceptor.feedback.readers.places import Place
from preceptor.feedback.schema import Prompt

from .prompts import ids, prompt

WORDS = 3
TEXTS = st.lists(st.sampled_from(["a", "B", "b", "c", "  "]), min_size=1, max_size=5).map(" ".join)
PROMPTS = st.lists(st.tuples(TEXTS, st.sampled_from("xyz"), st.sampled_from(["", "be nice"])), max_size=25)


@pytest.fixture(scope="module")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Staging:
    return Staging(tmp_path_factory.mktemp("staging") / "staging.duckdb")


def stage(staging: Staging, rows: list[Prompt], known: list[Prompt] | None = None) -> None:
    for table in ("staged", "taken", "known", "done"):
        staging.db.execute(f"delete from {table}")
    if known:
        list(staging.stage([(Place("k", 1), row) for row in known], WORDS, 0))
        staging.db.execute('insert into known select id, "user", key, prefix from staged')
        staging.db.execute("delete from staged")
    list(staging.stage([(Place("f", number), row) for number, row in enumerate(rows, start=1)], WORDS, 0))


def left(staging: Staging) -> list[str]:
    return [row[0] for row in staging.rows(f"select id from {decisions.LEFT} order by seq")]


@settings(max_examples=40, deadline=None)
@given(PROMPTS)
def test_tables_and_lists_decide_alike(staging: Staging, drawn: list[tuple[str, str, str]]) -> None:
    rows = [prompt(number, *fields) for number, fields in enumerate(drawn)]
    stage(staging, rows)
    rows = drop_duplicates(rows)
    assert decisions.take_duplicates(staging) == len(drawn) - len(rows)
    assert left(staging) == ids(rows)
    rows = drop_shared_prefixes(rows, WORDS)
    decisions.take_prefixes(staging)
    assert left(staging) == ids(rows)
    decisions.take_over_cap(staging, 2)
    assert left(staging) == ids(cap_per_user(rows, 2))


@settings(max_examples=40, deadline=None)
@given(PROMPTS)
def test_the_prefix_rule_is_what_comparing_all_with_all_says(
    staging: Staging, drawn: list[tuple[str, str, str]]
) -> None:
    rows = [prompt(number, *fields) for number, fields in enumerate(drawn)]
    stage(staging, rows)
    decisions.take_prefixes(staging)

    def common(a: Prompt, b: Prompt) -> int:
        pairs = zip(*(row.messages[-1].content.casefold().split() for row in (a, b)), strict=False)
        return next((at for at, (x, y) in enumerate(pairs) if x != y), min(words(a), words(b)))

    def words(row: Prompt) -> int:
        return len(row.messages[-1].content.split())

    kept: list[Prompt] = []
    for row in rows:
        if not any(common(row, other) >= WORDS for other in rows[: rows.index(row)]):
            kept.append(row)
    assert left(staging) == ids(kept)


@settings(max_examples=30, deadline=None)
@given(PROMPTS, st.integers(1, 4))
def test_no_user_is_over_the_limit_with_what_the_directory_has(
    staging: Staging, drawn: list[tuple[str, str, str]], limit: int
) -> None:
    known = [prompt(100 + number, f"old {number}", user) for number, user in enumerate("xxy")]
    rows = [prompt(number, *fields) for number, fields in enumerate(drawn)]
    stage(staging, rows, known)
    decisions.take_over_cap(staging, limit)
    kept = set(left(staging))
    for user, had in (("x", 2), ("y", 1), ("z", 0)):
        theirs = [row for row in rows if row.user == user]
        assert sum(row.id in kept for row in theirs) == min(len(theirs), max(limit - had, 0))


def test_what_the_directory_has_is_known_under_any_id_and_by_its_beginning(staging: Staging) -> None:
    known = [prompt(1, "one two three four")]
    stage(staging, [prompt(2, "One  two three FOUR"), prompt(3, "one two three five"), prompt(4, "one two")], known)
    assert decisions.take_known(staging) == 1
    assert decisions.take_prefixes(staging) == 1
    assert left(staging) == ["p4"]


def test_one_id_for_two_prompts_is_an_error_that_names_both(staging: Staging) -> None:
    stage(staging, [prompt(1, "a"), prompt(2, "b"), prompt(1, "A"), prompt(2, "c")])
    with pytest.raises(InputError, match="f:4: prompt 'p2' has other words than at f:2"):
        decisions.check_ids(staging)
    stage(staging, [prompt(3, "x"), prompt(1, "b")], [prompt(1, "a")])
    with pytest.raises(InputError, match="f:2: prompt 'p1' has other words than in an earlier import"):
        decisions.check_ids(staging)
    stage(staging, [prompt(1, "A")], [prompt(1, "a")])
    decisions.check_ids(staging)
