"""Rules on lists of prompts in memory: no user has too many, no template is there twice, no prompt is.

Every rule keeps the order of what it keeps, and none draws from a stream of random numbers: what
happens to a prompt depends on its own ids alone. An import of any size has the same rules as
statements on tables (:mod:`.decisions`); tests hold the two to each other.
"""

import hashlib
from collections.abc import Iterable

from preceptor.errors import InputError
from preceptor.feedback.schema import Prompt
from preceptor.keyed import key_bits
from preceptor.text.conversation import Message


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
    for indices in of_user.values():
        indices.sort(key=lambda index: (cap_draw(rows[index], seed), index))
        kept.update(indices[:limit])
    return [prompt for index, prompt in enumerate(rows) if index in kept]


def cap_draw(prompt: Prompt, seed: int) -> int:
    """What orders the prompts of a user for :func:`cap_per_user`, 128 bits: the smallest are kept."""
    return key_bits(seed, "cap", prompt.user, prompt.id)


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
        prefix = prompt_prefix(prompt, prefix_words)
        if prefix is not None:
            if prefix in seen:
                continue
            seen.add(prefix)
        kept.append(prompt)
    return kept


def prompt_prefix(prompt: Prompt, prefix_words: int) -> tuple[str, ...] | None:
    """The first words of a prompt, as :func:`drop_shared_prefixes` compares them; None if it has not so many."""
    words: list[str] = []
    for message in prompt.messages:
        if message.role != "system":
            words += message.content.casefold().split(maxsplit=prefix_words)[:prefix_words]
            if len(words) >= prefix_words:
                return tuple(words[:prefix_words])
    return None


def prompt_key(prompt: Prompt) -> tuple[tuple[str, str], ...]:
    """What makes two prompts the same: roles and words, without regard to case and spacing.

    The system message counts: one question under two instructions is two prompts.
    """
    return messages_key(prompt.messages)


def messages_key(messages: Iterable[Message]) -> tuple[tuple[str, str], ...]:
    """:func:`prompt_key` of a prompt that is at hand as messages."""
    return tuple((message.role, " ".join(message.content.casefold().split())) for message in messages)


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


def digest(parts: Iterable[str]) -> bytes:
    """128 bits of some texts, which stand for the texts where millions are compared.

    No part may hold a unit separator (U+001F): in what is compared all white space is a blank, and Python counts it
    as such.
    """
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).digest()


def key_digest(key: Iterable[tuple[str, str]]) -> bytes:
    """:func:`digest` of a :func:`prompt_key`: what the index of an import has of a prompt's words."""
    return digest(part for turn in key for part in turn)
