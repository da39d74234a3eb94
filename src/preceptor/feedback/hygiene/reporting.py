"""The report of an import: what came, what each rule took or changed, with examples, and what is left."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from preceptor.feedback.hygiene.options import ImportOptions
from preceptor.feedback.hygiene.reading import EXAMPLES, Tally, shorten
from preceptor.feedback.hygiene.staging import LEFT, Staging

Shown = Callable[[Sequence[str]], list[str]]  # texts without personal data

TITLES = {
    "unusable": "records that hold no prompt",
    "too long": "longer than --max-characters",
    "unicode": "written in one way: invisible and control characters, line ends, NFC",
    "empty": "nothing is left of the user's message",
    "known": "in the directory already",
    "duplicate": "says the same as one before",
    "prefix": "begins with the same words as one before",
    "language": "in a language that was not asked for",
    "pii": "personal data",
    "cap": "more than so many of one user",
}
CHANGES = ("unicode",)  # rules that take nothing


def build_report(staging: Staging, tally: Tally, options: ImportOptions, shown: Shown) -> dict[str, Any]:
    """The report, JSON all through. Examples are shown without the personal data in them."""
    rules = []
    for rule, title in TITLES.items():
        if rule in ("unusable", "too long", "unicode", "empty"):
            entry = _counted(rule, tally)
        elif rule == "pii" and options.pii != "off":
            entry = _found(staging, options)
        else:
            entry = _taken(staging, rule, options)
        if entry is not None:
            rules.append({"rule": rule, "title": title, **entry})
    examples = [example for rule in rules for example in rule["examples"]]
    for example, text in zip(examples, shown([example["text"] for example in examples]), strict=True):
        example["text"] = shorten(text)
    kinds = staging.rows(
        f"select kind, count(*) from examined where seq in (select seq from {LEFT}) group by kind order by 2 desc, 1"
    )
    return {
        "options": options.model_dump(mode="json"),
        "records": tally.records,
        "formats": dict(tally.formats),
        "prompts": tally.prompts,
        "users": staging.one('select count(distinct "user") from staged'),
        "users_with_at": tally.users_with_at,
        "kept": staging.one(f"select count(*) from {LEFT}"),
        "rules": rules,
        "use_cases": dict(kinds),
    }


def _counted(rule: str, tally: Tally) -> dict[str, Any] | None:
    """A rule that reading counted."""
    reasons = tally.counts.get(rule, Counter())
    if not reasons and rule == "unusable":
        return None
    total = reasons.total()
    return {
        "changed" if rule in CHANGES else "took": total,
        "reasons": dict(reasons.most_common()),
        "examples": tally.examples.get(rule, []),
    }


def _taken(staging: Staging, rule: str, options: ImportOptions) -> dict[str, Any] | None:
    """A rule that is a statement on the tables; None if it was not asked for."""
    if staging.notes(f"take {rule}") is None:
        return None
    rows = staging.rows(
        "select seq, record from staged semi join (select seq from taken where rule = ?) using (seq) "
        f"order by seq limit {EXAMPLES}",
        rule,
    )
    column = {"duplicate": "key", "prefix": "prefix"}.get(rule)
    examples = []
    for seq, begins in rows:
        record = staging.texts.at(begins)
        example = {"place": str(staging.place(seq)), "text": _last(record)}
        if column:
            first = staging.one(
                f"select min(a.seq) from staged a join staged b using ({column}) where b.seq = ? and a.seq < b.seq", seq
            )
            example["why"] = "as in an earlier import" if first is None else f"as {staging.place(first)}"
        elif rule == "cap":
            example["why"] = f"user {json.loads(record)['user']}"
        elif rule == "language":
            example["why"] = staging.one("select language from spoken where seq = ?", seq)
        examples.append(example)
    reasons: dict[str, int] = {}
    if rule == "language":
        counted = "select language, count(*) from spoken semi join taken using (seq) group by 1 order by 2 desc, 1"
        reasons = dict(staging.rows(counted))
    return {"took": staging.notes(f"take {rule}"), "reasons": reasons, "examples": examples}


def _found(staging: Staging, options: ImportOptions) -> dict[str, Any]:
    """Personal data: how many prompts had some, and how often each type was found."""
    types: Counter[str] = Counter()
    prompts = 0
    for (findings,) in staging.rows("select findings from examined where findings is not null order by findings"):
        prompts += 1
        types.update(one["type"] for one in json.loads(staging.texts.at(findings)))
    rows = staging.rows(
        "select seq, s.record, e.findings from staged s join examined e using (seq) where e.findings is not null "
        f"order by seq limit {EXAMPLES}"
    )
    examples = [
        {"place": str(staging.place(seq)), "text": _found_in(staging.texts.at(record), staging.texts.at(findings))}
        for seq, record, findings in rows
    ]
    done = {"redact": "changed", "drop": "took", "flag": "flagged"}[options.pii]
    return {done: prompts, "reasons": dict(types.most_common()), "examples": examples}


def _found_in(record: str, findings: str) -> str:
    """The message that something was found in, from a little before it."""
    found = json.loads(findings)[0]
    text: str = json.loads(record)["messages"][found["message"]]["content"]
    return text[max(0, found["start"] - 60) : found["end"] + 100]


def _last(record: str) -> str:
    text: str = json.loads(record)["messages"][-1]["content"]
    return text[:1000]  # enough to find what runs over the end of what is shown
