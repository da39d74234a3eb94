"""Pages of the browser, each as somebody; and what must hold on all of them: nothing goes wrong in the console."""

from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from preceptor.feedback.store.sessions import open_session

from .labeling_site import Site

WIDE = {"width": 1280, "height": 860}
NARROW = {"width": 390, "height": 844}
PATIENCE = 20_000  # milliseconds; a busy machine is slow


class Visits:
    """Opens pages, signed in or not, and keeps what their consoles said."""

    def __init__(self, browser: Browser, site: Site) -> None:
        self._browser, self._site = browser, site
        self.said: list[str] = []
        self.expected: list[str] = []  # parts of what consoles may say
        self._contexts: list[BrowserContext] = []

    def __call__(
        self, name: str | None = None, path: str = "#/", *, size: dict[str, int] = WIDE, **options: Any
    ) -> Page:
        """A page of a browser of its own."""
        context = self._browser.new_context(viewport=size, locale="en-US", reduced_motion="reduce", **options)
        self._contexts.append(context)
        if name is not None:
            token = open_session(self._site.store, self._site.people[name])
            context.add_cookies([{"name": "preceptor_session", "value": token, "url": self._site.url}])
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on(
            "console", lambda message: self.said.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.goto(f"{self._site.url}/{path}")
        page.locator("h1").first.wait_for()
        return page

    def close(self) -> None:
        """Close the browsers; fail if a console said what nobody expected."""
        for context in self._contexts:
            context.close()
        bad = [text for text in self.said if not any(part in text for part in self.expected)]
        assert not bad, bad
