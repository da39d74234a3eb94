"""The rules by which collected prompts become a dataset (InstructGPT, section 3.2 and appendix A.2).

The paper names four: at most 200 prompts per user id; prompts that share a long prefix are
duplicates; training, validation and test data are split by user id; personal data is removed.
The first three are here. Every rule keeps the order of what it keeps, and none draws from a
stream of random numbers: what happens to a prompt depends on its own ids alone.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from preceptor.errors import InputError
from preceptor.feedback.schema import Prompt
from preceptor.keyed import key_bits

Row = TypeVar("Row")


def cap_per_user(prompts: Iterable[Prompt], limit: int = 200, seed: int = 0) -> list[Prompt]:
    """At most ``limit`` prompts of each user, chosen by a hash of user and prompt id.

    A hash, and not the first ones that came, so that a user's earliest habits are not all that
    is left of her; and a prompt that was kept stays kept however the file is ordered.
    """
    if limit < 1:
        raise InputError(f"the limit of prompts per user is {limit}; give at least 1")
    rows = list(prompts)
    of_user: dict[str, list[int]] = {}
    for index, prompt in enumerate(rows):
        of_user.setdefault(prompt.user, []).append(index)
    kept: set[int] = set()
    for user, indices in of_user.items():
        indices.sort(key=lambda index: (key_bits(seed, "cap", user, rows[index].id), index))
        kept.update(indices[:limit])
    return [prompt for index, prompt in enumerate(rows) if index in kept]


def drop_shared_prefixes(prompts: Iterable[Prompt], prefix_words: int) -> list[Prompt]:
    """Of all prompts that begin with the same ``prefix_words`` words, only the first.

    One template filled in a thousand times would otherwise be a thousand prompts. Words are
    compared without regard to case; the system message is left out, since it is the
    application's and not the user's. A prompt shorter than the prefix is always kept:
    :func:`drop_duplicates` is the rule for those. The paper gives no length; the caller must.
    """
    if prefix_words < 1:
        raise InputError(f"a shared prefix of {prefix_words} words means nothing; give at least 1")
    seen: set[tuple[str, ...]] = set()
    kept = []
    for prompt in prompts:
        words = " ".join(message.content for message in prompt.messages if message.role != "system").casefold().split()
        prefix = tuple(words[:prefix_words])
        if len(prefix) == prefix_words:
            if prefix in seen:
                continue
            seen.add(prefix)
        kept.append(prompt)
    return kept


def prompt_key(prompt: Prompt) -> tuple[tuple[str, str], ...]:
    """What makes two prompts the same: roles and words, without regard to case and spacing.

    The system message counts: one question under two instructions is two prompts.
    """
    return tuple((message.role, " ".join(message.content.casefold().split())) for message in prompt.messages)


def drop_duplicates(prompts: Iterable[Prompt], seen: set[tuple[tuple[str, str], ...]] | None = None) -> list[Prompt]:
    """Only the first of prompts that say the same (:func:`prompt_key`).

    ``seen`` is filled with the keys of what is kept. Hand the set of one split to the next
    to drop from the second what the first has already.
    """
    seen = set() if seen is None else seen
    kept = []
    for prompt in prompts:
        key = prompt_key(prompt)
        if key not in seen:
            seen.add(key)
            kept.append(prompt)
    return kept


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
