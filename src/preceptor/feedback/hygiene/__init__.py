"""The rules by which collected prompts become a dataset (InstructGPT, section 3.2 and appendix A.2).

The paper names four: at most 200 prompts per user id; prompts that share a long prefix are
duplicates; training, validation and test data are split by user id; personal data is removed.

For lists in memory: :mod:`.rules` and :mod:`.splits`. For files of any size, with all the rules:
:func:`preceptor.feedback.hygiene.importing.import_prompts`, which is `preceptor prompts import`.
"""

from preceptor.feedback.hygiene.rules import cap_per_user, drop_duplicates, drop_shared_prefixes, prompt_key
from preceptor.feedback.hygiene.splits import part_of, split_by, split_by_user

__all__ = [
    "cap_per_user",
    "drop_duplicates",
    "drop_shared_prefixes",
    "part_of",
    "prompt_key",
    "split_by",
    "split_by_user",
]
