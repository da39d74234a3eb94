"""One way to write the same text, without what nobody sees.

Signs that have no width, turn the direction of writing or command a terminal make two prompts that look the same
differ, hide words from a labeler, and smuggle instructions past a filter. They go, save where they carry meaning: the
joiners inside an emoji and in the scripts that are written with them, the tags of a regional flag.
"""

import re
import unicodedata

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f]")
# Letters that a joiner or a non-joiner behind them may belong to: Arabic, Persian, and the scripts of India and around.
_JOINING = "\u0620-\u08e1\u08e3-\u0dff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\ufb50-\ufdff\ufe70-\ufefc"
_EMOJI = "\u2194-\u2199\u231a\u231b\u2328\u23cf\u23e9-\u23fa\u25aa-\u27bf\u2b05-\u2b55\U0001f000-\U0001faff"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_ZERO_WIDTH = re.compile(
    "(?P<kept>"
    "\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f"  # a regional flag
    f"|(?<=[{_JOINING}])[\u200c\u200d]"
    f"|(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])"
    ")"
    "|[\u00ad\u034f\u180e\u200b-\u200d\u2060-\u2065\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]+"
    f"|(?<=[{_SELECTORS}])[{_SELECTORS}]+"  # a second selector changes nothing one sees: bytes are hidden so
)
# Marks piled on one letter. UAX 15 allows 30 in a stream; sorting thousands of them takes time that grows as the
# square.
MOST_MARKS = 30
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u064b-\u065f\u0e31-\u0e4e"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
_PILE = re.compile(f"([{_MARKS}]{{{MOST_MARKS}}})[{_MARKS}]+")
_PLAIN = re.compile("[\t\n\x20-\x7e]*")  # what needs no look

CHANGES = (
    "line ends",
    "half surrogate pairs",
    "control characters",
    "direction marks",
    "zero width",
    "piled marks",
    "NFC",
)


def normalise(text: str) -> tuple[str, tuple[str, ...]]:
    """``text`` in NFC, ``\\n`` its only line end, nothing invisible in it; and what was changed, by ``CHANGES``.

    Applied to its own result it changes nothing. Half of a surrogate pair, which no file can hold, becomes U+FFFD.
    """
    if _PLAIN.fullmatch(text):
        return text, ()
    changed: set[str] = set()
    while True:  # what is removed can bring together what NFC then joins; mostly the second round finds nothing
        before = text
        for name, step in _STEPS.items():
            after = step(text)
            if after != text:
                changed.add(name)
                text = after
        if text == before:
            return text, tuple(name for name in CHANGES if name in changed)


_STEPS = {
    "line ends": lambda text: _LINE_ENDS.sub("\n", text),
    "half surrogate pairs": lambda text: _SURROGATES.sub("\ufffd", text),
    "control characters": lambda text: _CONTROL.sub("", text),
    "direction marks": lambda text: _BIDI.sub("", text),
    "zero width": lambda text: _ZERO_WIDTH.sub(lambda found: found["kept"] or "", text),
    "piled marks": lambda text: _PILE.sub(r"\1", text),
    "NFC": lambda text: unicodedata.normalize("NFC", text),
}
