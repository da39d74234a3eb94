"""Requests made up by schemathesis from the app's own description: whatever is sent, nothing breaks."""

from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI

from preceptor.feedback.app import AppSettings, create_app
from preceptor.feedback.store import Store
from preceptor.feedback.store.invitations import invite

from ...fuzzing import check, fuzz
from ...live import HASHER
from .conftest import Browser, sample

SECONDS = 25.0  # for all routes together
EXAMPLES = 3  # of a route at a time
# They would end the session that the others need; test_account.py has them.
LEFT_OUT = {("DELETE", "/api/session"), ("POST", "/api/password")}


@pytest.fixture
def patient(store: Store) -> FastAPI:
    """The app, without limits on signing in."""
    return create_app(store, AppSettings(hasher=HASHER, sign_in_failures=10**9, address_failures=10**9))


def test_no_request_breaks_the_server(patient: FastAPI, store: Store) -> None:
    admin = Browser(patient).join(invite(store, role="admin"), "root")
    admin.ok("POST", "/api/admin/queues", {"name": "q", "kind": "ranking"})
    admin.upload("samples", [sample(number) for number in range(3)], "q")
    held = admin.ok("POST", "/api/tasks/next", {})["task"]["assignment"]
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", patient)
    operations = [found.ok() for found in schema.get_all_operations()]
    wanted = [one for one in operations if (one.method.upper(), one.path) not in LEFT_OUT]
    assert len(wanted) > 40
    cookie = f"preceptor_session={admin.http.cookies['preceptor_session']}"
    statuses: list[int] = []

    def send(case: Any) -> None:
        if "assignment" in case.path_parameters and len(statuses) % 2:
            case.path_parameters["assignment"] = held  # or all tasks are nobody's
        answer = case.call(headers={"X-CSRF-Token": admin.csrf, "Cookie": cookie})
        statuses.append(answer.status_code)
        check(case, answer)

    fuzz(wanted, send, seconds=SECONDS, examples=EXAMPLES)
    assert {200, 404, 422} <= set(statuses)
    assert admin.ok("GET", "/api/session")["person"]["name"] == "root"


def test_the_description_is_whole(app: FastAPI) -> None:
    description = Browser(app).ok("GET", "/api/openapi.json")
    for route, methods in description["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], f"{method} {route}"
            codes = set(operation["responses"])
            assert {"401", "403", "422"} <= codes
            good = [answer for code, answer in operation["responses"].items() if code.startswith("2")]
            assert len(good) == 1 and ("content" in good[0] or "204" in codes), f"{method} {route}"
