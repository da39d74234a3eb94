"""The researcher's view in the chat page: figures of a real, tiny model for replies that a made-up one gave."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Browser, Page, expect

from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.serving.best_of import Judge
from preceptor.serving.inspection import inspection_routes
from preceptor.serving.inspector import Inspector
from preceptor.text.tokenizer import Tokenizer

from .chat_server import WORDS, fake_server
from .visits import CHECKS, REFUSED, Pages, looked_at

TOKEN = ".insight [role=option]"


@pytest.fixture
def page(
    browser: Browser,
    tiny_model: Callable[..., Transformer],
    tiny_scalar: Callable[..., ScalarModel],
    tiny_tokenizer: Tokenizer,
) -> Iterator[Page]:
    """The page, with a reply in it. "plain" can be inspected beside a reference, "other" without; "hostile" cannot."""
    shape = {"max_position_embeddings": 128}
    inspectors = {
        name: Inspector(lambda: tiny_model(**shape), tiny_tokenizer, reference)
        for name, reference in (("plain", tiny_model(seed=1, **shape)), ("other", None))
    }
    with (
        closing(Judge(tiny_scalar(seed=2, **shape), tiny_tokenizer)) as judge,
        fake_server() as server,
        closing(Pages(browser, REFUSED)) as pages,
    ):
        server.app.include_router(inspection_routes(inspectors, judge))
        opened = pages.make()
        opened.goto(server.url)
        expect(opened.get_by_label("Model", exact=True)).to_contain_text("plain")
        ask(opened, "plain")
        yield opened


def ask(page: Page, model: str) -> None:
    page.get_by_label("Model", exact=True).select_option(model)
    page.get_by_label("Message", exact=True).fill("Hi")
    page.get_by_label("Message", exact=True).press("Enter")
    expect(page.locator("article.assistant").last).to_have_attribute("aria-busy", "false")


def turn(page: Page, *, on: bool) -> None:
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Researcher's view").set_checked(on)
    page.get_by_role("button", name="Apply").click()


def inspected(page: Page) -> dict[str, object]:
    """Press the last reply's button; what the server answered."""
    with page.expect_response("**/v1/inspect") as answer:
        page.get_by_role("button", name="Inspect").last.click()
    found: dict[str, object] = json.loads(answer.value.body())
    return found


def test_it_is_there_only_when_asked_for(page: Page) -> None:
    button = page.get_by_role("button", name="Inspect")
    expect(button).to_have_count(0)
    turn(page, on=True)
    expect(button).to_have_attribute("aria-expanded", "false")
    inspected(page)
    expect(page.get_by_role("listbox")).to_be_visible()
    expect(button).to_have_attribute("aria-expanded", "true")
    button.click()
    expect(page.get_by_role("listbox")).to_have_count(0)
    page.reload()  # the setting stays
    page.get_by_role("button", name="Hi", exact=True).click()
    expect(button).to_have_count(1)
    turn(page, on=False)
    expect(button).to_have_count(0)


def test_tokens_with_the_keyboard_and_where_the_model_looked(page: Page) -> None:
    turn(page, on=True)
    tokens = inspected(page)["tokens"]
    assert isinstance(tokens, list)
    options = page.locator(TOKEN)
    expect(options).to_have_count(len(tokens))
    bold = "".join(bytes(one["bytes"]).decode("latin-1") for one in tokens if one["bytes"]).encode("latin-1").decode()
    assert bold == WORDS["plain"]
    expect(page.locator("#live")).to_contain_text(f"{len(tokens)} tokens · perplexity")
    panel = page.get_by_role("region", name="What the model made of this reply")
    expect(panel.locator("p").first).to_contain_text(re.compile(r"score of the reward model [+−]\d.*KL \d.* nats"))
    options.first.focus()
    page.keyboard.press("ArrowRight")
    expect(options.nth(1)).to_be_focused()
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    expect(panel.locator(".detail > .num")).to_contain_text(re.compile(r"“r” · .* % · log-ratio [+−].* · KL .* nats"))
    expect(panel.get_by_role("table").get_by_role("row")).to_have_count(6)
    page.keyboard.press("End")
    expect(options.last).to_be_focused()
    expect(options.last).to_have_text("<|end|>")
    assert page.locator(f"{TOKEN}[tabindex='0']").count() == 1  # one stop of the Tab key
    heat = [one.evaluate("(token) => token.style.getPropertyValue('--heat')") for one in (options.first, options.last)]
    panel.get_by_label("Colour by").select_option("kl")
    assert heat != [
        one.evaluate("(token) => token.style.getPropertyValue('--heat')") for one in (options.first, options.last)
    ]
    panel.get_by_role("button", name="Where the model looked").press("Enter")
    expect(panel.locator(".seen .token")).to_have_count(len(tokens) + 5)  # six of the prompt, and all but the last
    with page.expect_response("**/v1/inspect/attention") as answer:
        panel.get_by_label("Layer").select_option("2")
    assert answer.value.request.post_data_json["layer"] == 1
    expect(panel.get_by_label("Layer")).to_be_focused()
    expect(panel.get_by_role("table").last.get_by_role("row")).to_have_count(9)
    page.keyboard.press("Escape")  # nothing of it is left for another token
    options.first.focus()
    expect(panel.locator(".seen")).to_have_count(0)


def test_without_a_reference_and_where_it_cannot_be(page: Page) -> None:
    turn(page, on=True)
    ask(page, "other")
    inspected(page)
    expect(page.locator(TOKEN).first).to_have_attribute("aria-label", re.compile(r"^A: [\d.]+ %$"))
    expect(page.get_by_label("Colour by")).to_have_count(0)
    ask(page, "hostile")
    page.get_by_role("button", name="Inspect").last.click()
    expect(page.locator(".insight .note.bad")).to_contain_text("Cannot be inspected: no such model here")


def test_looks_at_both_widths_in_both_themes_and_languages(page: Page) -> None:
    turn(page, on=True)
    inspected(page)
    page.locator(TOKEN).nth(3).focus()
    page.get_by_role("button", name="Where the model looked").click()
    page.locator(".seen").wait_for()
    wrong = looked_at(page, "insight", page.locator("article.assistant"))
    assert not wrong, "\n".join(wrong)
    page.get_by_label("Language").select_option("zh-Hans")
    expect(page.get_by_role("button", name="检视")).to_be_visible()
    assert page.evaluate(CHECKS) == []
