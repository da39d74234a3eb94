"""Languages of texts."""

import pytest

from preceptor.feedback.hygiene.language import UNKNOWN, Languages


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Please write a short letter to my neighbour about the noise at night.", "en"),
        ("Bitte schreibe einen kurzen Brief an meinen Nachbarn \u00fcber den L\u00e4rm in der Nacht.", "de"),
        (
            "\u8bf7\u7ed9\u6211\u7684\u90bb\u5c45\u5199\u4e00\u5c01\u5173\u4e8e\u566a\u97f3\u7684\u77ed\u4fe1\u3002",
            "zh",
        ),
        ("2 + 2 = ?", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_languages_are_told(text: str, language: str) -> None:
    assert Languages().of(text) == language


def test_the_languages_that_are_told_are_known() -> None:
    assert {"en", "de", "zh", "fr", "ja"} <= Languages().known
