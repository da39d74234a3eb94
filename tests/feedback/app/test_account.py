"""Coming in, signing in and out: what a session is worth, and what guessing is."""

from datetime import timedelta

import pytest
from fastapi import FastAPI

from preceptor.feedback.app import AppSettings, create_app
from preceptor.feedback.store import Store
from preceptor.feedback.store.invitations import invite
from preceptor.feedback.store.people import set_status
from preceptor.feedback.store.published import publish
from preceptor.web.attempts import Attempts

from ...live import HASHER, PASSWORD
from .conftest import Browser, Come, sign_in


def test_session_of_nobody(app: FastAPI) -> None:
    browser = Browser(app)
    assert browser.ok("GET", "/api/session") == {"person": None, "csrf": None, "must_consent": None}
    for path in ("/api/queues", "/api/tasks", "/api/admin/people", "/api/review/queues", "/api/terms"):
        browser.refused(401, "signed_out", "GET", path)


def test_an_invitation_is_good_once(app: FastAPI, store: Store) -> None:
    token = invite(store, role="reviewer")
    browser = Browser(app)
    assert browser.ok("POST", "/api/invitation", {"token": token}) == {"role": "reviewer"}
    browser.join(token, "Ann")
    assert browser.ok("GET", "/api/session")["person"] == {"id": 1, "name": "ann", "role": "reviewer", "language": "en"}
    late = Browser(app)
    late.refused(404, "not_found", "POST", "/api/invitation", {"token": token})
    account = {"token": token, "name": "ben", "password": PASSWORD}
    late.refused(404, "not_found", "POST", "/api/invitation/accept", account)


def test_an_invitation_survives_a_bad_name_or_password(app: FastAPI, store: Store, come: Come) -> None:
    come("ann")
    token = invite(store)
    browser = Browser(app)
    path = "/api/invitation/accept"
    browser.refused(422, "invalid", "POST", path, {"token": token, "name": "ben", "password": "short"})
    browser.refused(409, "stale", "POST", path, {"token": token, "name": "ANN", "password": PASSWORD})
    browser.refused(422, "invalid", "POST", path, {"token": token, "name": "  ", "password": PASSWORD})
    browser.join(token, "ben")


def test_the_cookie_is_out_of_reach_of_scripts(app: FastAPI, store: Store) -> None:
    plain, tls = Browser(app), Browser(app, "https://testserver")
    said = []
    for browser, name in ((plain, "ann"), (tls, "ben")):
        account = {"token": invite(store), "name": name, "password": PASSWORD}
        said.append(browser.http.post("/api/invitation/accept", json=account).headers["set-cookie"])
    assert said[0].startswith("preceptor_session=") and "Secure" not in said[0]
    assert said[1].startswith("__Host-preceptor_session=") and "Secure" in said[1]
    for one in said:
        assert "HttpOnly" in one and "SameSite=strict" in one and "Path=/" in one
    assert tls.ok("GET", "/api/session")["person"]["name"] == "ben"


def test_tokens_and_passwords_are_not_in_the_database(store: Store, come: Come) -> None:
    if store.engine.dialect.name != "sqlite":
        pytest.skip("the dump is SQLite's; the same statements write both")
    browser = come("ann")
    cookie = browser.http.cookies["preceptor_session"]
    raw = store.engine.raw_connection()
    dump = "\n".join(raw.driver_connection.iterdump())  # type: ignore[union-attr]
    raw.close()
    assert "ann" in dump and "$argon2id$" in dump
    assert cookie not in dump and browser.csrf not in dump and PASSWORD not in dump


def test_changes_need_the_sessions_own_csrf_token(come: Come) -> None:
    ann, ben = come("ann"), come("ben")
    for token in ("", "wrong", ben.csrf):
        headers = {"X-CSRF-Token": token}
        ann.refused(403, "csrf", "POST", "/api/tasks/next", {}, headers=headers)
        ann.refused(403, "csrf", "DELETE", "/api/session", headers=headers)
    assert ann.ok("POST", "/api/tasks/next", {})["task"] is None
    assert ann.ok("GET", "/api/session")["csrf"] == ann.csrf


def test_signing_out_ends_the_session(app: FastAPI, come: Come) -> None:
    come("ann")
    browser, other = sign_in(app, "ann"), sign_in(app, "ANN ")
    cookie = browser.http.cookies["preceptor_session"]
    browser.ok("DELETE", "/api/session")
    browser.http.cookies.set("preceptor_session", cookie)
    browser.refused(401, "signed_out", "GET", "/api/queues")
    assert other.ok("GET", "/api/queues") == {"queues": []}


def test_sessions_end_by_themselves_and_with_suspension(store: Store, come: Come) -> None:
    ann, ben = come("ann"), come("ben")
    set_status(store, ben.id, "suspended")
    ben.refused(401, "signed_out", "GET", "/api/queues")
    account = {"name": "ben", "password": PASSWORD}
    ben.refused(403, "forbidden", "POST", "/api/session", account)
    now = store.now
    store.now = lambda: now() + timedelta(days=15)
    ann.refused(401, "signed_out", "GET", "/api/queues")


def test_a_wrong_name_is_refused_like_a_wrong_password(app: FastAPI, come: Come) -> None:
    come("ann")
    said = [
        Browser(app).refused(401, "wrong_password", "POST", "/api/session", {"name": name, "password": password})
        for name, password in (("ann", "wrong"), ("nobody", PASSWORD), ("ann", PASSWORD[:-1]), ("ann", PASSWORD + "!"))
    ]
    assert all(one == said[0] for one in said)


def test_guessing_is_slowed_by_name(store: Store, come: Come) -> None:
    come("ann")
    app = create_app(store, AppSettings(hasher=HASHER, sign_in_failures=3))
    for _ in range(3):
        Browser(app).refused(401, "wrong_password", "POST", "/api/session", {"name": "ann", "password": "guess"})
    answer = Browser(app).send("POST", "/api/session", {"name": "Ann", "password": PASSWORD})
    assert answer.status_code == 429 and answer.json()["error"]["code"] == "too_many"
    assert 0 < int(answer.headers["Retry-After"]) <= 901
    come("ben")
    sign_in(app, "ben")


def test_guessing_is_slowed_by_address(store: Store, come: Come) -> None:
    come("ann")
    app = create_app(store, AppSettings(hasher=HASHER, address_failures=4))
    for number in range(4):
        body = {"name": f"nobody {number}", "password": "guess"}
        Browser(app).refused(401, "wrong_password", "POST", "/api/session", body)
    Browser(app).refused(429, "too_many", "POST", "/api/session", {"name": "ann", "password": PASSWORD})


def test_signing_in_rightly_is_not_counted(store: Store, come: Come) -> None:
    come("ann")
    app = create_app(store, AppSettings(hasher=HASHER, sign_in_failures=2, address_failures=2))
    for _ in range(5):
        sign_in(app, "ann")


def test_attempts_are_counted_in_a_window() -> None:
    time = 0.0
    attempts = Attempts(2, 60.0, clock=lambda: time)
    assert [attempts.take("a"), attempts.take("a")] == [0.0, 0.0]
    time = 50.0
    assert attempts.take("a") == pytest.approx(10.0) and attempts.take("b") == 0.0
    time = 60.0
    assert attempts.take("a") == 0.0
    attempts.forgive("a")
    assert [attempts.take("a"), attempts.take("a")] == [0.0, 0.0] and attempts.take("a") > 0


def test_a_new_password_ends_the_other_sessions(app: FastAPI, come: Come) -> None:
    ann = come("ann")
    other = sign_in(app, "ann")
    path, new = "/api/password", "another long one"
    ann.refused(401, "wrong_password", "POST", path, {"current": "wrong", "new": new})
    ann.refused(422, "invalid", "POST", path, {"current": PASSWORD, "new": "short"})
    ann.csrf = ann.ok("POST", path, {"current": PASSWORD, "new": new})["csrf"]
    ann.ok("POST", "/api/tasks/next", {})
    other.refused(401, "signed_out", "GET", "/api/queues")
    Browser(app).refused(401, "wrong_password", "POST", "/api/session", {"name": "ann", "password": PASSWORD})
    sign_in(app, "ann", new)


def test_terms_are_agreed_to_first_and_anew(store: Store, come: Come) -> None:
    ann = come("ann")
    assert ann.ok("GET", "/api/queues") == {"queues": []}  # no terms, nothing to agree to
    publish(store, "terms", {"en": "# Be kind", "zh-Hans": "# 友善"})
    assert ann.ok("GET", "/api/session")["must_consent"] == 1
    ann.refused(403, "consent", "GET", "/api/queues")
    ann.refused(403, "consent", "POST", "/api/tasks/next", {})
    text = ann.ok("GET", "/api/terms")
    assert text["version"] == 1 and text["html"] == "<h1>Be kind</h1>\n"
    assert ann.ok("GET", "/api/terms?language=zh-Hans")["text"] == "# 友善"
    ann.refused(409, "stale", "POST", "/api/consent", {"version": 2})
    assert ann.ok("POST", "/api/consent", {"version": 1})["must_consent"] is None
    ann.ok("GET", "/api/queues")
    publish(store, "terms", {"en": "# Be kinder"})
    ann.refused(403, "consent", "GET", "/api/queues")
    ann.refused(409, "stale", "POST", "/api/consent", {"version": 1})
    ann.ok("POST", "/api/consent", {"version": 2})
    ann.ok("GET", "/api/queues")


def test_language_decides_which_text_is_read(store: Store, come: Come) -> None:
    ann = come("ann")
    publish(store, "ranking", {"en": "Rank.", "zh-Hans": "排序。"})
    assert ann.ok("GET", "/api/guidelines/ranking")["text"] == "Rank."
    assert ann.ok("PATCH", "/api/me", {"language": "zh-Hans"})["person"]["language"] == "zh-Hans"
    assert ann.ok("GET", "/api/guidelines/ranking")["text"] == "排序。"
    ann.refused(404, "not_found", "GET", "/api/guidelines/ranking?version=7")
    ann.refused(404, "not_found", "GET", "/api/guidelines/prompt")
    ann.refused(422, "invalid", "GET", "/api/guidelines/cooking")
    ann.refused(422, "invalid", "PATCH", "/api/me", {"language": "tlh"})


def test_choices_are_open_to_all(app: FastAPI) -> None:
    choices = Browser(app).ok("GET", "/api/choices")
    assert len(choices["flags"]) == 11 and len(choices["use_cases"]) == 10 and "other" in choices["skip_reasons"]
    assert choices["criteria"]["flags"] == 0.75
