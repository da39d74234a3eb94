"""Text from strangers, made safe to print: what a terminal would obey is shown instead of sent."""

import unicodedata

# Beside the control characters (Cc) and half surrogate pairs (Cs): line separators that break a one-line
# message, and the marks that turn the direction of writing, which can make a line say another thing than it holds.
_OTHERS = frozenset("\u2028\u2029\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def printable(text: str, keep: str = "") -> str:
    """``text`` with every control character as an escape, ``\\x1b`` for ESC; those in ``keep`` stay as they are."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in keep else _shown(one) for one in text)


def _shown(one: str) -> str:
    if unicodedata.category(one) in ("Cc", "Cs") or one in _OTHERS:
        return f"\\x{ord(one):02x}" if ord(one) < 256 else f"\\u{ord(one):04x}"
    return one
