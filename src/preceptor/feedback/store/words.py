"""What any text from people must fulfil before it is kept."""

import re

from preceptor.feedback.store.errors import InvalidError

MAX_TEXT = 100_000  # characters of one message; ten times what a person reads in an hour of labeling
# Control characters but tab and line ends; half surrogate pairs, which have no UTF-8; and the two marks that
# override the direction of writing, whose only use is to make a text look like another.
_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\u202d\u202e]")


def checked_text(text: str, what: str, limit: int = MAX_TEXT) -> str:
    """``text`` itself, or an :class:`InvalidError` that says what is wrong with it."""
    if len(text) > limit:
        raise InvalidError(f"{what}: {len(text):,} characters are too many; give at most {limit:,}")
    refused = _REFUSED.search(text)
    if refused:
        raise InvalidError(f"{what}: holds the character U+{ord(refused.group()):04X} at {refused.start()}; remove it")
    return text


def findable(text: str) -> bool:
    """Whether a database can even be asked for a text; where it cannot, nothing of that name is there."""
    return not _REFUSED.search(text)


def storable(text: str) -> str:
    """A model's output as every database can hold it: NUL and half surrogate pairs become U+FFFD."""
    return re.sub("[\x00\ud800-\udfff]", "\ufffd", text)


def mended(text: str) -> str:
    """A text in which what :func:`checked_text` refuses is U+FFFD: for earlier replies of models in a conversation."""
    return _REFUSED.sub("\ufffd", text)
