"""The chat page in a browser, against a server whose models say what is written in chat_server.py."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, Response, expect

from .chat_server import HOSTILE, FakeServer, fake_server
from .visits import CHECKS, NARROW, REFUSED, SHOTS, WIDE, Pages, looked_at

PLAIN = "Grüße, 你好 🙂 bold"
Open = Callable[..., Page]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_server() as fake:
        yield fake


@pytest.fixture
def chat(browser: Browser, server: FakeServer) -> Iterator[Open]:
    """chat(): the page. Its console must stay silent but for refusals of the server."""
    pages = Pages(browser, REFUSED)

    def opened(model: str = "plain", size: dict[str, int] = WIDE) -> Page:
        page = pages.make(size)
        page.goto(server.url)
        if server.key is None:
            page.get_by_label("Model", exact=True).select_option(model)
        return page

    yield opened
    pages.close()


def ask(page: Page, text: str) -> None:
    box = page.get_by_label("Message", exact=True)
    box.fill(text)
    box.press("Enter")


def last(page: Page) -> str:
    """The text of the last reply, when it is written."""
    article = page.locator("article.assistant").last
    expect(article).to_have_attribute("aria-busy", "false")
    return article.locator(".text").inner_text()


def shot(page: Page, name: str) -> None:
    if SHOTS:
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.screenshot(path=f"{SHOTS}/{name}-{page.viewport_size['width']}-{theme}.png")


def test_a_conversation_with_whole_characters(server: FakeServer, chat: Open) -> None:
    page = chat()
    ask(page, "Hello")
    expect(page.locator("#live")).to_have_text("Grüße, 你好 🙂 **bold**")  # screen readers hear it once, whole
    assert last(page) == PLAIN
    assert page.locator("article.assistant strong").inner_text() == "bold"
    ask(page, "Again")
    expect(page.locator("article.assistant")).to_have_count(2)
    last(page)
    assert [message["role"] for message in server.asked[-1]["messages"]] == ["user", "assistant", "user"]
    assert server.asked[0] == {"model": "plain", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    page.reload()
    page.get_by_role("button", name="Hello", exact=True).click()
    expect(page.locator("article")).to_have_count(4)


def test_stop_keeps_what_was_written_and_tells_the_server(server: FakeServer, chat: Open) -> None:
    page = chat("slow")
    ask(page, "Hello")
    for way in ("button", "key"):
        expect(page.locator("article.assistant .text")).to_contain_text("w3")
        if way == "button":
            page.get_by_role("button", name="Stop").click()
        else:
            page.keyboard.press("Escape")
        expect(page.get_by_text("Stopped.")).to_be_visible()
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        assert last(page).startswith("w0 w1 w2 w3")
        page.wait_for_timeout(200)
        if way == "button":
            page.get_by_role("button", name="Regenerate").click()
    assert server.cut == 2


def test_regenerate_edit_and_branch(server: FakeServer, chat: Open) -> None:
    page = chat()
    ask(page, "First")
    last(page)
    page.get_by_label("Model", exact=True).select_option("other")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator("article.assistant h2")).to_have_text("other")
    assert last(page) == "Another reply."
    page.get_by_role("button", name="Previous version").click()
    assert last(page) == PLAIN
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("The message anew").fill("Second")
    page.get_by_role("button", name="Send as a new branch").click()
    expect(page.locator("article.user .text")).to_have_text("Second")
    last(page)
    assert server.asked[-1]["messages"] == [{"role": "user", "content": "Second"}]
    page.locator("article.user").get_by_role("button", name="Previous version").press("Enter")
    expect(page.locator("article.user .text")).to_have_text("First")
    assert last(page) == PLAIN  # the branch is as it was left
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Next version"


def test_a_blind_comparison(server: FakeServer, chat: Open) -> None:
    page = chat()
    page.get_by_role("button", name="Compare").click()
    page.get_by_label("Second model").select_option("other")
    ask(page, "Which?")
    better = page.get_by_role("button", name="B is better")
    better.wait_for()
    replies = page.locator(".two article")
    assert sorted(replies.locator(".text").all_inner_texts()) == ["Another reply.", PLAIN]
    assert replies.locator("h2").all_inner_texts() == ["Reply A", "Reply B"]
    assert page.get_by_role("button", name="Send").is_disabled()
    picked = replies.last.locator(".text").inner_text()
    better.click()
    name = {"Another reply.": "other", PLAIN: "plain"}[picked]
    expect(page.locator(".revealed")).to_contain_text(f"B was {name}. You go on with B.")
    assert last(page) == picked
    page.get_by_role("button", name="Compare").click()
    ask(page, "On")
    last(page)
    assert server.asked[-1]["messages"][1]["content"].startswith(picked[:5])


def test_nothing_in_a_reply_runs(chat: Open) -> None:
    page = chat("hostile")
    ask(page, "Hello")
    last(page)
    assert page.evaluate("window.ran") is None
    text = page.locator("article.assistant .text")
    assert text.locator("script, img, b").count() == 0
    assert [link.get_attribute("href") for link in text.locator("a").all()] == ["https://example.org/a"]
    expect(text.locator("pre")).to_have_text("<script>window.ran = 4</script>")
    expect(text.locator("td").first).to_have_text("<b>1</b>")
    expect(text.locator("ul ul li")).to_have_text("inner")
    ask(page, HOSTILE)
    last(page)
    assert page.evaluate("window.ran") is None
    shot(page, "markdown")


def test_refusals_are_said_and_can_be_tried_again(server: FakeServer, chat: Open) -> None:
    page = chat("full")
    ask(page, "Hello")
    expect(page.locator(".note.bad")).to_have_text("No reply: the server is full; try again in 2 s")
    page.get_by_label("Model", exact=True).select_option("failing")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".note.bad")).to_have_text("No reply: the engine broke")
    assert last(page) == "Half a"
    page.get_by_label("Model", exact=True).select_option("plain")
    page.get_by_role("button", name="Regenerate").click()
    expect(page.locator(".note.bad")).to_be_hidden()
    assert last(page) == PLAIN


def test_settings_reach_the_server(server: FakeServer, chat: Open) -> None:
    page = chat()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System prompt").fill("Be brief.")
    for name, value in (("Temperature", "0.5"), ("Top p", "0.9"), ("Most tokens", "64"), ("Seed", "7")):
        page.get_by_label(name).fill(value)
    page.get_by_role("button", name="Apply").click()
    ask(page, "Hello")
    last(page)
    sent = server.asked[0]
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"], sent["seed"]) == (0.5, 0.9, 64, 7)
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}


def test_the_key_is_asked_for_once_and_can_be_forgotten(server: FakeServer, chat: Open) -> None:
    server.key = "secret-key"
    page = chat()
    dialog = page.get_by_role("dialog", name="This server asks for an API key")
    dialog.get_by_label("API key").fill("слово")  # which no header can hold
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("the server asks for a valid API key (see Settings)")
    for key in ("wrong", "secret-key"):
        expect(dialog.get_by_label("API key")).to_be_focused()
        dialog.get_by_label("API key").fill(key)
        with page.expect_response("**/v1/models"):
            page.keyboard.press("Enter")
    page.get_by_label("Model", exact=True).select_option("plain")
    page.reload()
    page.get_by_label("Model", exact=True).select_option("plain")
    ask(page, "Hello")
    assert last(page) == PLAIN
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("API key").fill("")
    page.get_by_role("button", name="Apply").click()
    expect(dialog).to_be_visible()
    assert "secret-key" not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")


def test_conversations_are_listed_and_deleted(chat: Open) -> None:
    page = chat("slow", size=NARROW)
    ask(page, "First talk")
    page.get_by_role("button", name="Stop").wait_for()
    page.get_by_role("button", name="Conversations").click()
    page.get_by_role("button", name="+ New conversation").click()
    expect(page.get_by_text("What would you like to ask?")).to_be_visible()
    ask(page, "Second talk")
    page.get_by_role("button", name="Stop").wait_for()
    page.get_by_role("button", name="Conversations").click()
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete “Second talk”").click()  # while it is being written
    page.get_by_role("button", name="Delete “First talk”").click()
    expect(page.get_by_text("No conversations yet")).to_be_visible()
    page.wait_for_timeout(200)  # what was being written has ended, and did not bring it back
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.includes('chat/'))") == []


def test_looks_at_both_widths_in_both_themes_and_languages(chat: Open) -> None:
    page = chat("hostile")
    ask(page, "Show me Markdown")
    last(page)
    page.get_by_role("button", name="Compare").click()
    ask(page, "And two replies")
    page.get_by_role("button", name="A is better").wait_for()
    expect(page.get_by_role("button", name="A is better")).to_be_in_viewport()  # the page has followed
    wrong = looked_at(page, "pair")
    assert not wrong, "\n".join(wrong)
    page.get_by_label("Language").select_option("zh-Hans")
    expect(page.get_by_role("button", name="A 更好")).to_be_visible()
    page.get_by_role("button", name="设置").click()
    assert page.evaluate(CHECKS) == []
    shot(page, "settings")


def test_the_page_is_small_and_all_its_own(browser: Browser, server: FakeServer) -> None:
    context = browser.new_context()
    page = context.new_page()
    loaded: list[Response] = []
    page.on("response", lambda answer: loaded.append(answer))
    page.goto(server.url, wait_until="networkidle")
    assert all(answer.url.startswith(server.url) and answer.ok for answer in loaded)
    pages = [answer for answer in loaded if "/v1/" not in answer.url]
    assert len(pages) > 10 and sum(len(answer.body()) for answer in pages) < 100_000
    for answer in pages:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and not re.search("unsafe|http|\\*", policy)
    context.close()
