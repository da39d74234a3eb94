"""What a terminal would obey is shown and not sent."""

import unicodedata

import pytest

from preceptor.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("é 日本 👩‍🔬", "é 日本 👩‍🔬"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("\x9b1m\x7f\x85", "\\x9b1m\\x7f\\x85"),
        ("a\u202eb\u2066\u2028", "a\\u202eb\\u2066\\u2028"),
        ("half \ud83d", "half \\ud83d"),
        ("a\nb\tc\r", "a\\x0ab\\x09c\\x0d"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_what_is_kept_stays() -> None:
    assert printable("a\nb\tc\r", keep="\n\t") == "a\nb\tc\\x0d"


def test_no_control_character_is_left() -> None:
    everything = "".join(chr(code) for code in range(0x3000))
    assert not any(unicodedata.category(one) == "Cc" for one in printable(everything))
