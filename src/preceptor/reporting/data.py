"""The part of the report on what a run learnt from: how much of each kind, and what was left out and why."""

from collections.abc import Mapping
from typing import Any

from preceptor.reporting.tables import Table

_KINDS = {"corpus": "documents", "demonstrations": "demonstrations", "rankings": "rankings", "prompts": "prompts"}
_PARTS = ("train", "dev", "heldout")


def section(summary: Mapping[str, Any]) -> dict[str, Table | None]:
    """The tables ``kept`` and ``left_out`` of the data stage's summary; empty for a run on the built-in world."""
    if summary.get("source") != "files":
        return {}
    return {"kept": _kept(summary.get("counts", {})), "left_out": _left_out(summary)}


def _kept(counts: Mapping[str, int]) -> Table | None:
    """One row a kind of data, by the part of the split."""
    rows = []
    for kind, words in _KINDS.items():
        # Files of the part "train" have its name or none.
        train = counts.get(f"{kind}_train", counts.get(kind, 0))
        found = [train, *(counts.get(f"{kind}_{part}", 0) for part in _PARTS[1:])]
        if any(found):
            rows.append([words, *(f"{count:,}" if count else "\u2013" for count in found)])
    head = ["", "trained on", "to choose by", "held out"]
    return Table("What was used", head, rows) if rows else None


def left_out(summary: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Why something was left out and how often, most frequent first, of the data stage's summary.

    ``skipped`` is what the readers could not use, by what it would have been; ``dropped`` is what a rule took.
    """
    skipped = summary.get("skipped") or {}
    found = [(f"{of}: {reason}", count) for of, why in skipped.items() for reason, count in why.items()]
    found += (summary.get("dropped") or {}).items()
    return sorted((one for one in found if one[1]), key=lambda one: -one[1])


def _left_out(summary: Mapping[str, Any]) -> Table | None:
    rows = [[reason, f"{count:,}"] for reason, count in left_out(summary)]
    return Table("What was left out", ["", "how many"], rows) if rows else None
