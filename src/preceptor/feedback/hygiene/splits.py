"""The split into training, choosing and measuring, by user, so that nobody is on two sides (section 3.2)."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from preceptor.errors import InputError
from preceptor.feedback.schema import Prompt
from preceptor.keyed import key_bits

Row = TypeVar("Row")


def part_of(name: str, shares: Mapping[str, float], seed: int) -> str:
    """The part that a user id (or the id of a tree or a prompt) falls in.

    ``shares`` maps parts to positive numbers in a stated order. A hash of the id and the seed
    is a point on the line of the shares, so an id never moves when others come or go.
    The sizes are met on average only: that is the price, and it is worth it.
    """
    total = math.fsum(shares.values())
    if not shares or min(shares.values()) < 0 or not 0 < total < math.inf:
        raise InputError(f"shares {dict(shares)} cannot be split by; give numbers from 0 that do not sum to 0")
    point = key_bits(seed, "split", name) / 2**128 * total
    reached = 0.0
    for part, share in shares.items():
        reached += share
        if point < reached:
            return part
    # Only rounding can bring us here: the point lies in the last part that has a share.
    return [part for part, share in shares.items() if share > 0][-1]


def split_by(
    rows: Iterable[Row], name: Callable[[Row], str], shares: Mapping[str, float], seed: int
) -> dict[str, list[Row]]:
    """Rows by part, every part present, all rows of one name (:func:`part_of`) in one part."""
    parts: dict[str, list[Row]] = {part: [] for part in shares}
    for row in rows:
        parts[part_of(name(row), shares, seed)].append(row)
    return parts


def split_by_user(prompts: Iterable[Prompt], shares: Mapping[str, float], seed: int) -> dict[str, list[Prompt]]:
    """Prompts by part, e.g. ``{"train": 0.7, "dev": 0.1, "heldout": 0.2}``; no user in two.

    Section 3.2: "we create our train, validation, and test splits based on user ID".
    For bare user ids use :func:`part_of`.
    """
    return split_by(prompts, lambda prompt: prompt.user, shares, seed)
