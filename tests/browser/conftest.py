"""A browser, a server for each test, and what must hold on every page: nothing goes wrong in its console."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from .labeling_site import Site, fill
from .visits import PATIENCE, Visits

CHROMIUM = os.environ.get("PRECEPTOR_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. A module's own: as long as it runs, no other test could start an event loop."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium; install it, or name it in PRECEPTOR_TEST_CHROMIUM")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site with people and queues that is closed again: its folder is copied for each test."""
    made = Site(tmp_path_factory.mktemp("site"))
    fill(made)
    made.close()
    return made


@pytest.fixture
def site(browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A server with people and queues, and nothing judged yet. Without a browser none is made."""
    pattern: Site = request.getfixturevalue("filled")
    shutil.copytree(pattern.folder, tmp_path / "site")
    made = Site(tmp_path / "site")
    made.people = dict(pattern.people)
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visits]:
    """visit("ana", "#/work/france"): a page, signed in."""
    visits = Visits(browser, site)
    yield visits
    visits.close()
