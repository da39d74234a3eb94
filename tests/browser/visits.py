"""Pages of the browser; and what must hold on all of them: nothing goes wrong in the console, and they look right."""

import os
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page

from preceptor.feedback.store.sessions import open_session

from .labeling_site import Site

WIDE = {"width": 1280, "height": 860}
NARROW = {"width": 390, "height": 844}
PATIENCE = 20_000  # milliseconds; a busy machine is slow
CHECKS = (Path(__file__).parent / "checks.js").read_text(encoding="utf-8")
SHOTS = os.environ.get("PRECEPTOR_TEST_SHOTS")  # a folder for screenshots, to look at
REFUSED = "the server responded with a status of 4"  # what a console says of a refusal


class Pages:
    """Makes pages, each of a browser of its own, and keeps what their consoles said."""

    def __init__(self, browser: Browser, *expected: str) -> None:
        self._browser = browser
        self.said: list[str] = []
        self.expected = list(expected)  # parts of what consoles may say
        self._contexts: list[BrowserContext] = []

    def make(self, size: dict[str, int] = WIDE, **options: Any) -> Page:
        """A page that shows nothing yet."""
        context = self._browser.new_context(viewport=size, locale="en-US", reduced_motion="reduce", **options)
        self._contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda line: self.said.append(line.text) if line.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        return page

    def close(self) -> None:
        """Close the browsers; fail if a console said what nobody expected."""
        for context in self._contexts:
            context.close()
        bad = [text for text in self.said if not any(part in text for part in self.expected)]
        assert not bad, bad


class Visits(Pages):
    """Opens pages of the labeling site, signed in or not."""

    def __init__(self, browser: Browser, site: Site) -> None:
        super().__init__(browser)
        self._site = site

    def __call__(
        self, name: str | None = None, path: str = "#/", *, size: dict[str, int] = WIDE, **options: Any
    ) -> Page:
        """A page of a browser of its own."""
        page = self.make(size, **options)
        if name is not None:
            token = open_session(self._site.store, self._site.people[name])
            page.context.add_cookies([{"name": "preceptor_session", "value": token, "url": self._site.url}])
        page.goto(f"{self._site.url}/{path}")
        page.locator("h1").first.wait_for()
        return page


def looked_at(page: Page, name: str, part: Locator | None = None) -> list[str]:
    """What is wrong with the page at both widths, in both themes. It is narrow in the end.

    Pictures, if they are wanted, are of the page or of the part.
    """
    wrong = []
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            wrong += [f"{name} {size['width']} {theme}: {what}" for what in page.evaluate(CHECKS)]
            if SHOTS:
                (part or page).screenshot(path=f"{SHOTS}/{name}-{size['width']}-{theme}.png")
        if not page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
            wrong.append(f"{name} {size['width']}: has to be scrolled sideways")
    return wrong
