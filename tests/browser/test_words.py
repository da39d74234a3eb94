"""The words of the pages: each language has them all, and all that the pages ask for are there."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

import preceptor.feedback.app as app
from preceptor.feedback.app.errors import CODES
from preceptor.feedback.app.first import LANGUAGES
from preceptor.feedback.app.routes.reading import CHOICES
from preceptor.feedback.app.uploads import UPLOADS
from preceptor.feedback.store.tables.people import PERSON_KINDS, STATUSES
from preceptor.web.files import COMMON

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


WORDS = {language: words(language, f"{language}-admin") for language in LANGUAGES}
ENGLISH = WORDS["en"]
translated = pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])


@translated
def test_all_languages_have_the_same_keys(language: str) -> None:
    assert list(ENGLISH) == list(WORDS[language])
    assert len(ENGLISH) > 300


@translated
def test_words_have_the_same_gaps_in_all_languages(language: str) -> None:
    gaps = re.compile(r"\{\w+\}")
    for key, text in ENGLISH.items():
        for form in text.split("|"):
            assert sorted(gaps.findall(form)) == sorted(gaps.findall(WORDS[language][key])), key


@translated
def test_what_is_translated_is_not_english(language: str) -> None:
    same = {key for key, text in WORDS[language].items() if text == ENGLISH[key]}
    assert same <= {"text.markdown"}


@pytest.mark.parametrize("path", sorted(SCRIPTS.rglob("*.js")), ids=lambda path: path.name)
def test_all_words_that_a_page_asks_for_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    asked = re.findall(r'\bt\(\s*"([^"]+)"', text) + re.findall(r'does: "([^"]+)"', text)
    assert [key for key in asked if key not in ENGLISH] == []


@pytest.mark.parametrize(
    ("key", "names"),
    [
        *(("flag.{}", CHOICES.flags), ("flag.{}.long", CHOICES.flags), ("skip.{}", CHOICES.skip_reasons)),
        *(("kind.{}", [*CHOICES.kinds, "skip"]), ("case.{}", CHOICES.use_cases), ("role.{}", CHOICES.roles)),
        *(("form.{}", CHOICES.forms), ("way.{}", CHOICES.ways), ("screen.{}", CHOICES.criteria)),
        ("refused.{}", set(CODES.values()) - {"method", "media_type"}),  # which no page runs into
        *(("status.{}", STATUSES), ("people.{}", PERSON_KINDS), ("data.{}", UPLOADS)),
    ],
)
def test_names_that_come_from_the_server_have_words(key: str, names: Iterable[str]) -> None:
    assert [name for name in names if key.format(name) not in ENGLISH] == []


def test_no_words_are_left_that_no_page_asks_for() -> None:
    scripts = [
        path.read_text(encoding="utf-8")
        for path in [*SCRIPTS.rglob("*.js"), COMMON / "theme.js"]
        if path.parent.name != "strings"
    ]
    text = "\n".join(scripts)
    made = [re.split(r"\$\{[^}]+\}", key) for key in re.findall(r"\bt(?:Or)?\(`([^`]+)`", text)]
    assert all(parts[0].endswith(".") for parts in made), "a key without a beginning of its own fits all words"
    asked = re.compile("|".join(".+".join(map(re.escape, parts)) for parts in made))
    assert [key for key in ENGLISH if f'"{key}"' not in text and not asked.fullmatch(key)] == []


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
