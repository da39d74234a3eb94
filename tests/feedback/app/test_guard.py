"""What is refused before any route sees it, and the headers on every answer."""

import json
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from preceptor.feedback.app import AppSettings, create_app
from preceptor.feedback.app.pages import STATIC
from preceptor.feedback.store import Store
from preceptor.web.headers import SECURITY_HEADERS

from ...live import HASHER
from .conftest import Browser, Come


@pytest.mark.parametrize("path", ["/api/session", "/api/queues", "/", "/nothing", "/static/nothing.js", "/api/nothing"])
def test_security_headers_are_on_every_answer(app: FastAPI, path: str) -> None:
    answer = Browser(app).send("GET", path)
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    policy = answer.headers["Content-Security-Policy"]
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert "unsafe" not in policy
    if path.startswith("/api"):
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_500_has_the_headers_and_says_nothing_of_the_inside(app: FastAPI) -> None:
    browser = Browser(app)
    browser.http = type(browser.http)(app, raise_server_exceptions=False)
    app.state.store = None  # breaks whatever needs it
    browser.http.cookies.set("preceptor_session", "x")
    answer = browser.http.get("/api/session")
    assert answer.status_code == 500 and answer.json()["error"]["code"] == "internal"
    assert "NoneType" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_another_sites_page_is_refused(come: Come) -> None:
    ann = come("ann")
    for origin in ("http://evil.example", "null", "https://testserver.evil.example", "http://[", "http://testserver:1"):
        ann.refused(403, "csrf", "POST", "/api/tasks/next", {}, headers={"Origin": origin})
    ann.ok("POST", "/api/tasks/next", {}, headers={"Origin": "http://testserver"})


def test_only_known_hosts_are_answered(store: Store) -> None:
    app = create_app(store, AppSettings(hasher=HASHER, hosts=("127.0.0.1", "[::1]")))
    for host in ("127.0.0.1", "127.0.0.1:8000", "[::1]:80"):
        assert Browser(app).send("GET", "/api/session", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        assert Browser(app).send("GET", "/api/session", headers={"Host": host}).status_code == 400


def test_large_bodies_are_refused_declared_or_not(store: Store, come: Come) -> None:
    come("ann")
    ann = Browser(create_app(store, AppSettings(hasher=HASHER, body_bytes=1000)))
    big = json.dumps({"name": "x" * 2000, "password": ""}).encode()

    def chunks() -> Iterator[bytes]:
        yield from (big[start : start + 100] for start in range(0, len(big), 100))

    headers = {"Content-Type": "application/json"}
    for content in (big, chunks()):
        answer = ann.http.post("/api/session", content=content, headers=headers)
        assert answer.status_code == 413 and answer.json()["error"]["code"] == "too_large"


def test_a_ten_megabyte_demonstration_is_refused_in_one_line(come: Come) -> None:
    ann = come("ann")
    answer = {"payload": {"kind": "demonstration", "text": "x" * 10_000_000}, "seconds": 1}
    ann.refused(413, "too_large", "POST", "/api/tasks/0/submit", answer)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_bodies_are_json(come: Come, kind: str) -> None:
    ann = come("ann")
    headers = {"Content-Type": kind, "X-CSRF-Token": ann.csrf}
    answer = ann.http.post("/api/tasks/next", content=b"{}", headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 100_000, b'{"queue": NaN}', b'{"queue": "\\ud800"}', b"\xff\xfe", b'{"queue": 1e999}'],
)
def test_what_is_no_json_is_400_or_422(come: Come, body: bytes) -> None:
    ann = come("ann")
    headers = {"Content-Type": "application/json", "X-CSRF-Token": ann.csrf}
    answer = ann.http.post("/api/tasks/next", content=body, headers=headers)
    assert answer.status_code in (400, 422)
    assert "\n" not in answer.json()["error"]["message"]


def test_too_many_at_once_are_told_so(store: Store) -> None:
    app = create_app(store, AppSettings(hasher=HASHER, requests_at_once=0))
    answer = Browser(app).send("GET", "/api/session")
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "busy" and "Retry-After" in answer.headers


def test_nothing_outside_of_the_pages_is_served(app: FastAPI) -> None:
    browser = Browser(app)
    for path in (
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e%2fserver%2epy",
        "/static//etc/passwd",
        "/..%2fserver",
        "/%2e%2e",
        "/static/",
        "/static",
        "/static/x.py",
        "/index.html%00",
    ):
        answer = browser.http.get(path, follow_redirects=False)
        assert answer.status_code in (307, 404), path
        assert "create_app" not in answer.text


def test_pages_are_served_with_their_kinds(app: FastAPI) -> None:
    browser = Browser(app)
    pages = sorted(STATIC.glob("*.html"))
    scripts = sorted(STATIC.rglob("*.js"))
    for path in pages:
        answer = browser.http.get("/" if path.stem == "index" else f"/{path.stem}")
        assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    for path in scripts:
        url = f"/static/{path.relative_to(STATIC)}"
        answer = browser.http.get(url)
        assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        again = browser.http.get(url, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304


def test_the_description_names_every_route(app: FastAPI) -> None:
    paths = Browser(app).ok("GET", "/api/openapi.json")["paths"]
    text = (STATIC.parents[4] / "docs" / "labeling-api.md").read_text(encoding="utf-8")
    for path, methods in paths.items():
        for method in methods:
            stem = path.replace("{number}", "{id}")
            assert f"`{method.upper()} {stem}`" in text, f"docs/labeling-api.md does not name {method.upper()} {path}"


def test_no_route_but_the_way_in_answers_strangers(app: FastAPI) -> None:
    browser = Browser(app)
    open_to_all = {
        ("get", "/api/session"),
        ("post", "/api/session"),
        ("post", "/api/invitation"),
        ("post", "/api/invitation/accept"),
        ("get", "/api/choices"),
    }
    tried = 0
    for path, methods in browser.ok("GET", "/api/openapi.json")["paths"].items():
        for method, operation in methods.items():
            if (method, path) in open_to_all:
                continue
            route = path.format(**dict.fromkeys(("assignment", "kind", "item", "judgement", "number", "what"), "1"))
            query = {one["name"]: "1" for one in operation.get("parameters", []) if one["in"] == "query"}
            answer = browser.send(method, route, BODIES.get(path), params=query, headers={"X-CSRF-Token": "x"})
            assert answer.status_code == 401, f"{method} {path}: {answer.status_code} {answer.text}"
            tried += 1
    assert tried > 40


BODIES: dict[str, object] = {
    "/api/tasks/next": {},
    "/api/tasks/{assignment}/submit": {"payload": {"kind": "demonstration", "text": "x"}, "seconds": 1},
    "/api/tasks/{assignment}/correct": {"payload": {"kind": "demonstration", "text": "x"}, "seconds": 1},
    "/api/tasks/{assignment}/skip": {"reason": "other"},
    "/api/tasks/{assignment}/draft": {"draft": "x"},
}
