"""The rules that compare prompts with each other, as statements on the tables of :mod:`.staging`.

Of several that are alike the first stays, and what is in the directory already counts as before all that comes. So an
import that is repeated decides as it did, finds its own choices in the directory, and adds nothing:

- a prompt that was kept is known now;
- one that a prompt before it took is taken by the same prompt, whether that one was kept or fell to a later rule;
- one over a user's limit is over it again, since what was kept of the user fills the limit.

These are :func:`~.rules.drop_duplicates`, :func:`~.rules.drop_shared_prefixes` and :func:`~.rules.cap_per_user`.
"""

from preceptor.feedback.hygiene.staging import LEFT, Staging


def check_ids(staging: Staging) -> None:
    """One id names one prompt, here and in the directory; two prompts of one id are an error that names the second."""
    found = staging.rows(
        "select seq, id, null from staged semi join "
        "(select id from staged group by id having min(key) <> max(key)) as twice using (id) "
        "qualify key <> first_value(key) over (partition by id order by seq) order by seq limit 1"
    )
    earlier = staging.rows(
        "select min(staged.seq), min_by(staged.id, staged.seq) from staged join known using (id) "
        "where staged.key <> known.key having count(*) > 0"
    )
    if found:
        seq, name, _ = found[0]
        first = staging.one("select min(seq) from staged where id = ?", name)
        where = f"at {staging.place(first)}"
    elif earlier:
        seq, name = earlier[0]
        where = "in an earlier import"
    else:
        return
    raise staging.place(seq).error(f"prompt {name!r} has other words than {where}; give each prompt an id of its own")


def take_known(staging: Staging) -> int:
    """What the directory has already, under whatever id."""
    return _take(staging, "known", f"select seq from {LEFT} and key in (select key from known)")


def take_duplicates(staging: Staging) -> int:
    """All but the first of prompts that say the same."""
    return _take(
        staging,
        "duplicate",
        f"select seq from (select seq, row_number() over (partition by key order by seq) as number from {LEFT}) "
        "where number > 1",
    )


def take_prefixes(staging: Staging) -> int:
    """All but the first of prompts with one long beginning."""
    return _take(
        staging,
        "prefix",
        "select seq from (select seq, prefix, row_number() over (partition by prefix order by seq) as number "
        f"from {LEFT} and prefix is not null) where number > 1 "
        "or prefix in (select prefix from known where prefix is not null)",
    )


def take_languages(staging: Staging, wanted: tuple[str, ...]) -> int:
    """What is in none of the wanted languages."""
    return _take(
        staging,
        "language",
        f"select seq from {LEFT} and seq in (select seq from spoken where not list_contains(?, language))",
        list(wanted),
    )


def take_over_cap(staging: Staging, limit: int) -> int:
    """What is more than ``limit`` of one user; what the directory has of the user counts."""
    return _take(
        staging,
        "cap",
        'select seq from (select seq, row_number() over (partition by "user" order by draw, seq) as number, '
        f'"user" from {LEFT}) left join (select "user", count(*) as had from known group by "user") using ("user") '
        f"where number + coalesce(had, 0) > {limit:d}",
    )


def take_found(staging: Staging) -> int:
    """What personal data was found in."""
    return _take(
        staging, "pii", f"select seq from {LEFT} and seq in (select seq from examined where findings is not null)"
    )


def _take(staging: Staging, rule: str, which: str, *values: object) -> int:
    """Take the prompts that a statement names."""
    staging.db.execute(f"insert into taken select seq, '{rule}' from ({which})", list(values))
    return int(staging.one("select count(*) from taken where rule = ?", rule))
