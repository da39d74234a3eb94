"""Text in one way, without what nobody sees."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.feedback.hygiene.normalise import CHANGES, MOST_MARKS, normalise

# Signs that the rules are about, so that random texts bring them together.
SIGNS = st.sampled_from(
    (
        *("a", "b", " ", "\n", "\r", "\t", "\x00", "\x07", "\x1b", "\x85", "\x0b", "e\u0301", "\u0301", "\u0338"),
        *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u2066", "\u061c", "\u200f"),
        *("\ud83d", "\ude00", "\U0001f469", "\ufe0f", "\U0001f3fd", "\U0001f680", "\u2194", "\u2028"),
        *("\u0645", "\u06cc", "\u0915\u094d", "\U0001f3f4", "\U000e0067", "\U000e007f", "\U000e0100"),
    )
)


@pytest.mark.parametrize(
    ("text", "wanted", "change"),
    [
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour", "line ends"),
        ("pass\u200bword\ufeff", "password", "zero width"),
        ("abc\u202edef\u2066", "abcdef", "direction marks"),
        ("\x1b[31mred\x00", "[31mred", "control characters"),
        ("cafe\u0301", "caf\u00e9", "NFC"),
        ("cut \ud83d", "cut \ufffd", "half surrogate pairs"),
        ("hidden\U000e0068\U000e0069", "hidden", "zero width"),
        ("smile\u263a\ufe0f\ufe01\ufe02", "smile\u263a\ufe0f", "zero width"),
        ("z" + "\u0300" * 500, "z" + "\u0300" * MOST_MARKS, "piled marks"),
    ],
)
def test_what_nobody_sees_goes(text: str, wanted: str, change: str) -> None:
    assert normalise(text) == (wanted, (change,))
    assert change in CHANGES


@pytest.mark.parametrize(
    "text",
    [
        "plain\ttext\n",
        "\U0001f469\u200d\U0001f680 and \U0001f468\u200d\U0001f469\u200d\U0001f467",  # astronaut, family
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: "I want", with a non-joiner
        "\u0d28\u0d4d\u200d",  # Malayalam chillu
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # the flag of England
        "\u4f60\u597d\uff0c\u4e16\u754c",
    ],
)
def test_what_carries_meaning_stays(text: str) -> None:
    assert normalise(text) == (text, ())


@given(st.lists(SIGNS).map("".join) | st.text(st.characters()))
def test_the_result_is_normal_and_stays_so(text: str) -> None:
    once, _ = normalise(text)
    assert normalise(once) == (once, ())
    assert unicodedata.is_normalized("NFC", once)
    once.encode()
    assert not any(unicodedata.category(sign) == "Cc" and sign not in "\n\t" for sign in once)


def test_a_long_text_of_marks_takes_no_square_of_time() -> None:
    text = "a" + "\u0300\u0323" * 50_000
    assert len(normalise(text)[0]) <= MOST_MARKS + 2
