"""The chat page's files: how they are served, and that each language has all the words."""

import json
import re

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from preceptor.serving.pages import STATIC, mount_pages
from preceptor.web.files import COMMON
from preceptor.web.headers import SECURITY_HEADERS

LINE = re.compile(r'^  ("[^"]+"): ("(?:[^"\\]|\\.)*"),$', re.MULTILINE)
SCRIPTS = sorted((STATIC / "js").glob("*.js"))


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.add_api_route("/v1/models", lambda: {"data": []})
    mount_pages(app)
    return TestClient(app)


def words() -> list[dict[str, str]]:
    """The words of each language, by key."""
    text = (STATIC / "js" / "words.js").read_text(encoding="utf-8")
    parts = re.findall(r"^const \w+ = \{\n(.*?)^\};", text, re.MULTILINE | re.DOTALL)
    return [{json.loads(key): json.loads(value) for key, value in LINE.findall(part)} for part in parts]


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/static/js/main.js", "/common/dom.js"])
def test_files_have_their_kinds_and_strict_headers(client: TestClient, path: str) -> None:
    answer = client.get(path)
    kind = {"css": "text/css", "js": "text/javascript"}.get(path.rpartition(".")[2], "text/html")
    assert answer.status_code == 200 and answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


def test_other_routes_are_left_alone(client: TestClient) -> None:
    answer = client.get("/v1/models")
    assert answer.json() == {"data": []} and "Content-Security-Policy" not in answer.headers


@pytest.mark.parametrize("path", ["/static/../__init__.py", "/static/%2e%2e/__init__.py", "/static/js", "/common/x.js"])
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_languages_have_the_same_keys_and_gaps() -> None:
    english, chinese = words()
    assert list(english) == list(chinese) and len(english) > 50
    for key, text in english.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", chinese[key])), key
        assert text != chinese[key]


def test_the_page_has_the_words_it_asks_for_and_no_others() -> None:
    (english, _), scripts = words(), [*SCRIPTS, COMMON / "theme.js"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in scripts if path.name != "words.js")
    asked = re.findall(r'\bt\("([^"]+)"', text)
    assert [key for key in asked if key not in english] == []
    named = {key for key in english if f'"{key}"' in text}
    made = {key for key in english if key.startswith("theme.")} | {"temperature", "top_p", "max_tokens", "seed"}
    assert set(english) - named - made == set()


def test_no_script_makes_html_out_of_text() -> None:
    for path in [*SCRIPTS, *COMMON.glob("*.js")]:
        text = path.read_text(encoding="utf-8")
        bad = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|parseFromString"
        assert not re.search(bad, text), path
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|style=|\son\w+=|<script>", page) and "require-trusted-types-for 'script'" in page
