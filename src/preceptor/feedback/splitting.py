"""Who may never be on two sides of a split, and which side each falls on."""

from collections.abc import Iterable, Mapping, Set

from preceptor.errors import InputError
from preceptor.feedback.hygiene import part_of
from preceptor.feedback.schema import Prompt
from preceptor.keyed import key_bits


def group_prompts(prompts: Iterable[Prompt], by_user_only: Set[str] = frozenset()) -> dict[str, str]:
    """The group of each prompt id. Prompts of one user are together, and so are conversations with one beginning.

    The second rule holds where users are not known: one tree may stand in two files, and a turn
    of it may stand there as a prompt of its own. Prompts whose ids are in ``by_user_only`` have
    real users, of whom many may begin with "Hello"; they are grouped by user and nothing else.
    """
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    rows = list(prompts)
    for prompt in rows:
        names = [("user", prompt.user)]
        if prompt.id not in by_user_only:
            first = next(message.content for message in prompt.messages if message.role == "user")
            names.append(("beginning", " ".join(first.casefold().split())))
        # The smallest name stands for its group, so that the order of the files does not matter;
        # "user" sorts after "beginning", hence max.
        low, high = sorted(root(name) for name in (names[0], names[-1]))
        parent[low] = high
    return {prompt.id: root(("user", prompt.user))[1] for prompt in rows}


def assign_parts(
    kinds: Mapping[str, set[str]], shares: Mapping[str, float], seed: int, required: Mapping[str, list[str]]
) -> dict[str, str]:
    """The part of each group, by :func:`part_of`, mended so that no part misses what it must have.

    ``kinds[group]`` says what a group holds ("rankings", ...), ``required[kind]`` the parts that must
    have some of it. With little data chance can leave a part without: then the group with the smallest
    hash moves there from the part with most. If there are too few, that is an :class:`InputError`.
    """
    parts = {group: part_of(group, shares, seed) for group in kinds}

    def holding(part: str, kind: str) -> list[str]:
        return [group for group in kinds if parts[group] == part and kind in kinds[group]]

    def spare(group: str) -> bool:
        part = parts[group]
        return all(part not in required.get(kind, []) or len(holding(part, kind)) > 1 for kind in kinds[group])

    for kind, needed in required.items():
        for part in needed:
            if holding(part, kind) or not any(kind in held for held in kinds.values()):
                continue
            candidates = [group for group, held in kinds.items() if kind in held and spare(group)]
            if not candidates:
                count = sum(kind in held for held in kinds.values())
                raise InputError(
                    f"{kind}: {count} trees or prompts are too few for the parts {', '.join(needed)}; "
                    f"give at least {len(needed)}"
                )
            most = max(len(holding(parts[group], kind)) for group in candidates)
            candidates = [group for group in candidates if len(holding(parts[group], kind)) == most]
            parts[min(candidates, key=lambda group: key_bits(seed, "mend", group))] = part
    return parts
