"""The chat page with a store: consent is asked for, shown and withdrawn, and what people do reaches the store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from preceptor.feedback.store import Store, open_store
from preceptor.feedback.store.judged import read_demonstrations, read_prompts, read_rankings, read_ratings
from preceptor.feedback.store.published import publish

from . import visits
from .chat_server import FakeServer, fake_server
from .visits import REFUSED, WIDE, Pages

Open = Callable[..., Page]


@pytest.fixture
def store(browser: Browser, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "store.db")
    yield opened
    opened.close()


@pytest.fixture
def server(store: Store) -> Iterator[FakeServer]:
    with fake_server(store) as fake:
        yield fake


@pytest.fixture
def chat(browser: Browser, server: FakeServer) -> Iterator[Open]:
    """chat(): the page. Its console must stay silent but for refusals of the server."""
    pages = Pages(browser, REFUSED)

    def opened(size: dict[str, int] = WIDE, *, agreed: bool = True) -> Page:
        page = pages.make(size)
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto(server.url)
        if agreed:
            page.get_by_role("button", name="Read and decide").click()
            page.get_by_role("button", name="I agree").click()
            expect(page.locator(".state")).to_contain_text("Stored with your consent.")
        return page

    yield opened
    pages.close()


def ask(page: Page, text: str) -> None:
    box = page.get_by_label("Message", exact=True)
    box.fill(text)
    box.press("Enter")
    expect(page.locator("article.assistant").last).to_have_attribute("aria-busy", "false")


def looked_at(page: Page, name: str) -> list[str]:
    """See `visits`; the page is wide again afterwards, for what comes next in it."""
    wrong = visits.looked_at(page, name)
    page.set_viewport_size(WIDE)
    return wrong


def test_nothing_is_kept_before_the_text_was_agreed_to(chat: Open, store: Store) -> None:
    page = chat(agreed=False)
    expect(page.locator(".state")).to_contain_text("Nothing is stored on the server.")
    ask(page, "Hello")
    assert list(read_prompts(store)) == []
    expect(page.get_by_role("button", name="Good reply")).to_have_count(0)
    page.get_by_role("button", name="Read and decide").press("Enter")  # by the keyboard alone
    expect(page.get_by_role("dialog")).to_contain_text("under no name, that somebody agreed and withdrew")
    page.keyboard.press("Tab")  # from the text to the buttons below it
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)  # "No, keep nothing"
    expect(page.locator(".asking")).to_have_count(0)
    page.reload()
    expect(page.locator(".state")).to_contain_text("Nothing is stored on the server.")
    expect(page.locator(".asking")).to_have_count(0)  # she is not asked twice
    page.get_by_role("button", name="Change").click()
    page.get_by_role("button", name="I agree").click()
    expect(page.locator(".state")).to_contain_text("Stored with your consent.")
    ask(page, "Hello again")
    assert [one.messages[-1].content for one in read_prompts(store)] == ["Hello again"]


def test_thumbs_and_a_better_text_reach_the_store(chat: Open, store: Store) -> None:
    page = chat()
    ask(page, "Hello")
    good, bad = page.get_by_role("button", name="Good reply"), page.get_by_role("button", name="Bad reply")
    good.press("Enter")
    expect(good).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#live")).to_have_text("Stored.")
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(good).to_have_attribute("aria-pressed", "false")
    ((rating, _),) = read_ratings(store)
    assert (rating.overall, rating.model, rating.response) == (2, "plain", "Grüße, 你好 🙂 **bold**")
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "false")
    assert list(read_ratings(store)) == []

    page.get_by_role("button", name="Rewrite").click()
    box = page.get_by_label("The reply as it should be")
    page.get_by_role("button", name="Store my reply").click()
    expect(page.get_by_role("alert").filter(has_text="Not stored: text: is the model's own")).to_be_visible()
    box.fill("Good day.")
    box.press("Control+Enter")
    expect(page.locator("article.assistant h2")).to_have_text("Rewritten by you")
    ((demonstration, _),) = read_demonstrations(store)
    assert demonstration.messages[-1].content == "Good day."
    page.reload()
    page.get_by_role("button", name="Hello", exact=True).click()
    expect(page.locator("article.assistant .text")).to_have_text("Good day.")
    page.get_by_role("button", name="Previous version").click()
    expect(good).to_be_visible()


def test_a_blind_choice_reaches_the_store(chat: Open, store: Store) -> None:
    page = chat()
    page.get_by_role("button", name="Compare").click()
    page.get_by_label("Second model").select_option("other")
    ask(page, "Which?")
    page.get_by_role("button", name="B is better").click()
    expect(page.locator(".revealed")).to_contain_text("Your choice is stored.")
    (judged,) = read_rankings(store)
    assert judged.ranking.ranks == [2, 1] and judged.ranking.source == "chat"
    better = judged.ranking.responses[1].model
    expect(page.locator(".revealed")).to_contain_text(f"B was {better}")
    ask(page, "And?")
    page.get_by_role("button", name="Equally good").click()
    expect(page.locator(".revealed", has_text="Your choice is stored.")).to_have_count(2)
    assert [one.ranking.ranks for one in read_rankings(store)] == [[2, 1], [1, 1]]


def test_consent_is_withdrawn_in_the_settings(chat: Open, store: Store) -> None:
    page = chat()
    ask(page, "Hello")
    page.get_by_role("button", name="Good reply").click()
    expect(page.locator("#live")).to_have_text("Stored.")
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("button", name="Withdraw and delete").click()
    expect(page.locator("#live")).to_have_text("Withdrawn. 1 prompts and 1 judgements were deleted.")
    expect(page.locator(".state")).to_contain_text("Nothing is stored on the server.")
    assert list(read_prompts(store)) == [] and list(read_ratings(store)) == []
    expect(page.get_by_role("button", name="Good reply")).to_have_count(0)
    ask(page, "Anything?")
    assert list(read_prompts(store)) == []


def test_two_tabs_are_of_one_mind(chat: Open, store: Store) -> None:
    first = chat(agreed=False)
    second = first.context.new_page()
    second.on("dialog", lambda dialog: dialog.accept())
    second.goto(first.url)
    second.get_by_role("button", name="Read and decide").click()
    second.get_by_role("button", name="I agree").click()
    expect(second.locator(".state")).to_contain_text("Stored with your consent.")
    ask(first, "Hello")
    expect(first.locator(".state")).to_contain_text("Stored with your consent.")  # what is so is said
    first.get_by_role("button", name="Good reply").click()
    expect(first.locator("#live")).to_have_text("Stored.")
    second.get_by_role("button", name="Change").click()
    second.get_by_role("button", name="Withdraw and delete").click()
    expect(second.locator(".state")).to_contain_text("Nothing is stored on the server.")
    first.get_by_role("button", name="Bad reply").click()
    expect(first.locator("article .hint")).to_contain_text("Not stored: give the token that consent gave you")


def test_a_new_text_is_asked_for_while_one_chats(chat: Open, store: Store) -> None:
    page = chat()
    publish(store, "chat", {"en": "# Other conditions", "zh-Hans": "# 其他条件"})
    ask(page, "Hello")
    expect(page.locator(".asking")).to_contain_text("has changed. Nothing more is kept")
    expect(page.locator(".state")).to_contain_text("Nothing is stored on the server.")
    page.get_by_label("Language").select_option("zh-Hans")
    page.get_by_role("button", name="阅读并决定").click()
    expect(page.get_by_role("dialog")).to_contain_text("其他条件")
    page.get_by_role("button", name="我同意").click()
    expect(page.locator(".state")).to_contain_text("经您同意，正在保存。")
    page.get_by_label("语言").select_option("en")
    ask(page, "Hello again")
    assert [one.messages[-1].content for one in read_prompts(store)] == ["Hello again"]


def test_looks_at_both_widths_in_both_themes(chat: Open) -> None:
    page = chat(agreed=False)
    wrong = looked_at(page, "asking")
    page.get_by_role("button", name="Read and decide").click()
    wrong += looked_at(page, "consent")
    page.get_by_role("button", name="I agree").click()
    expect(page.locator(".asking")).to_have_count(0)
    ask(page, "Hello")
    page.get_by_role("button", name="Good reply").click()
    expect(page.locator("article .hint")).to_have_text("Stored.")
    wrong += looked_at(page, "judged")
    page.get_by_role("button", name="Rewrite").click()
    wrong += looked_at(page, "rewrite")
    page.get_by_role("button", name="Settings").click()
    wrong += looked_at(page, "yours")
    assert not wrong, "\n".join(wrong)
