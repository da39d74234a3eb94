"""Which tokens begin, end and pad, in a vocabulary that others made.

end
    The token that the chat template writes behind an assistant's text is the end of a turn. A response also stops
    at the tokenizer's ``eos_token`` and at the ids of ``eos_token_id`` in generation_config.json and config.json.
begin
    ``bos_token``, if there is one. Some vocabularies have none.
pad
    Never a token that ends or begins, else the end would lose its label. The first of: the tokenizer's own
    ``pad_token``; a token called padding (`PADDING`); ``<|endoftext|>`` and its kin (`TEXT_ENDS`); a reserved or
    unused special token; ``unk_token``; a new token ``<|pad|>``. What the template uses is never taken.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

PADDING = ("<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>")
TEXT_ENDS = ("<|endoftext|>", "<|end_of_text|>", "<|end▁of▁sentence|>")
RESERVED = re.compile(r"reserved|unused|extra_id", re.IGNORECASE)
NEW_PAD = "<|pad|>"


@dataclass(frozen=True)
class Specials:
    """The ids that the rest of the program asks for."""

    bos_id: int | None
    eos_ids: tuple[int, ...]  # what ends a response, the end of a turn first
    document_end_id: int  # what ends a text of a corpus
    pad_id: int
    mask_id: int | None
    ids: frozenset[int]  # every special token

    def __post_init__(self) -> None:
        assert self.pad_id not in self.eos_ids, "pad is never the end, else the end would lose its label"


def choose_pad(
    own: str | None,
    unknown: str | None,
    special: Mapping[str, int],
    *,
    taken: Collection[int],
    literals: Iterable[str],
) -> str:
    """The token to pad with, in the order at the top of this module; one that is not in ``special`` is new.

    special: the special tokens and their ids, ``own`` and ``unknown`` among them
    taken: ids that begin or end something
    literals: the texts of the chat template
    """
    used = "\n".join(literals)
    free = {name for name, number in special.items() if number not in taken and name not in used}
    if own in free:
        return own
    reserved = sorted((name for name in free if RESERVED.search(name)), key=lambda name: special[name])
    ordered = (*PADDING, *TEXT_ENDS, *reserved, unknown)
    return next((name for name in ordered if name in free), _new_name(special))


def _new_name(special: Mapping[str, int]) -> str:
    name = NEW_PAD
    while name in special:  # it is there and ends something, or the template uses it
        name = name.replace("pad", "pad_", 1)
    return name
