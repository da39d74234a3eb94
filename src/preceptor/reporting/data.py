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


def _left_out(summary: Mapping[str, Any]) -> Table | None:
    """One row a reason, most frequent first: what the readers could not use, then what was dropped by rule."""
    found = [(reason, of, count) for of, why in summary.get("skipped", {}).items() for reason, count in why.items()]
    found += [(reason, "", count) for reason, count in summary.get("dropped", {}).items()]
    ordered = sorted((one for one in found if one[2]), key=lambda one: -one[2])
    rows = [[f"{of}: {reason}" if of else reason, f"{count:,}"] for reason, of, count in ordered]
    return Table("What was left out", ["", "how many"], rows) if rows else None
