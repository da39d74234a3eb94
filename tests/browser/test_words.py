"""The words of the pages: each language has them all, and all that the pages ask for are there."""

import json
import re
from pathlib import Path

import pytest

import preceptor.feedback.app as app
from preceptor.feedback.schema import FLAGS
from preceptor.feedback.tasks import SKIP_REASONS

SCRIPTS = Path(app.__file__).parent / "static" / "js"
LINE = re.compile(r'^  ("[^"]+"): ("(?:[^"\\]|\\.)*"),$', re.MULTILINE)


def words(*names: str) -> dict[str, str]:
    """The words of a language, by key."""
    found: dict[str, str] = {}
    for name in names:
        text = (SCRIPTS / "strings" / f"{name}.js").read_text(encoding="utf-8")
        lines = [(json.loads(key), json.loads(value)) for key, value in LINE.findall(text)]
        assert len(lines) == text.count('": "'), f"{name}.js: a line that this test cannot read"
        for key, value in lines:
            assert key not in found, key
            found[key] = value
    return found


ENGLISH = words("en", "en-admin")
CHINESE = words("zh-Hans", "zh-Hans-admin")


def test_both_languages_have_the_same_keys() -> None:
    assert list(ENGLISH) == list(CHINESE)
    assert len(ENGLISH) > 300


def test_words_have_the_same_gaps_in_both_languages() -> None:
    gaps = re.compile(r"\{\w+\}")
    for key, text in ENGLISH.items():
        for form in text.split("|"):
            assert sorted(gaps.findall(form)) == sorted(gaps.findall(CHINESE[key])), key


def test_chinese_is_chinese() -> None:
    same = {key for key, text in CHINESE.items() if text == ENGLISH[key]}
    assert same <= {"text.markdown"}


@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.js")), ids=lambda path: path.name)
def test_all_words_that_a_page_asks_for_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    asked = re.findall(r'\bt\(\s*"([^"]+)"', text) + re.findall(r'does: "([^"]+)"', text)
    assert [key for key in asked if key not in ENGLISH] == []


@pytest.mark.parametrize(
    ("start", "names"),
    [("flag", FLAGS), ("skip", SKIP_REASONS), ("kind", ("demonstration", "prompt", "ranking", "comparison"))],
)
def test_names_that_come_from_the_server_have_words(start: str, names: tuple[str, ...]) -> None:
    assert [name for name in names if f"{start}.{name}" not in ENGLISH] == []


def test_no_page_makes_html_out_of_text() -> None:
    """Nothing sets markup but the one place that builds from a list; the content security policy holds the rest."""
    for path in [*SCRIPTS.rglob("*.js")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        assert ("parseFromString" in text) == (path.name == "markdown.js"), path
    for path in [*SCRIPTS.parent.glob("*.html")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"<style|style=|\son\w+=|<script>", text), path
        assert "require-trusted-types-for 'script'" in text
