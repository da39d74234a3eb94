"""What models and strangers wrote is shown and never runs."""

import pytest

from preceptor.feedback.tasks import add_samples, create_queue

from .labeling_site import HOSTILE, Site, sample
from .visits import Visits

NASTY = (
    HOSTILE,
    '<svg onload="pwned=4"><style>body{display:none}</style></svg><iframe srcdoc="<script>top.pwned=5</script>">',
    "![x](http://127.0.0.1:1/spy.png) <a href='javascript:pwned=6' onclick='pwned=7'>go</a> <b style='top:0'>b</b>",
    "| a |\n|---|\n| `<script>pwned=8</script>` |\n\n**bold** <form action='/x'><input autofocus onfocus='pwned=9'>",
)


@pytest.fixture
def nasty(site: Site) -> None:
    """A task whose outputs, and whose prompt, are out to get the labeler."""
    add_samples(
        site.store, "france", [sample("nasty", "Say hello. <script>window.pwned = 0</script>", NASTY)], priority=9
    )


@pytest.mark.usefixtures("nasty")
def test_hostile_output_is_text_and_nothing_else(visit: Visits) -> None:
    page = visit("ana", "#/work/france")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    texts = page.locator("article.output .text").all_text_contents()
    marked = HOSTILE.replace("\u202e", "U+202E").replace("\u202c", "U+202C").replace("\u200b", "U+200B")
    assert sorted(texts) == sorted([marked, *NASTY[1:]])
    assert page.locator("main").locator("script, img, svg, iframe, style, form, a[href^=javascript]").count() == 0
    page.keyboard.press("r")  # as Markdown
    page.locator(".text.markdown strong", has_text="bold").wait_for()
    inside = page.locator(".work-main .text")
    assert inside.locator("script, img, svg, iframe, style, form, input, a, [onclick], [onload], [style]").count() == 0
    assert inside.locator("td code").text_content() == "<script>pwned=8</script>"
    assert page.evaluate("window.pwned") is None
    assert [url for url in asked if "spy" in url or "/x" in url] == []
    page.keyboard.press("r")
    assert sorted(page.locator("article.output .text").all_text_contents()) == sorted([marked, *NASTY[1:]])


@pytest.mark.usefixtures("nasty")
def test_a_right_to_left_override_cannot_reach_beyond_its_text(visit: Visits) -> None:
    page = visit("ana", "#/work/france")
    assert page.locator(".mark", has_text="U+202E").first.is_visible()
    assert "\u202e" not in page.locator(".work-main").text_content()
    isolated = page.locator(".chip .excerpt").first.evaluate("(element) => getComputedStyle(element).unicodeBidi")
    assert isolated == "isolate"


def test_names_and_queues_are_text_too(site: Site, visit: Visits) -> None:
    create_queue(site.store, "<img src=x onerror=pwned=1>", "ranking")
    add_samples(site.store, "<img src=x onerror=pwned=1>", [sample("n", "Hello?", ("a", "b"))])
    page = visit("ana")
    page.get_by_role("heading", name="<img src=x onerror=pwned=1>").wait_for()
    page.get_by_role("link", name="Start: <img").click()
    page.get_by_role("heading", name="Ranking").first.wait_for()
    assert page.evaluate("window.pwned") is None


def test_even_trusted_html_is_built_anew_from_a_list(visit: Visits) -> None:
    """If the server's sanitiser let something through, the page would still not take it."""
    visit.expected += ["inline event handler", "inline style"]  # refused while it is parsed, and not in what is built
    page = visit("ana")
    built = page.evaluate(
        """async () => {
          const { build } = await import("/static/js/lib/markdown.js");
          const box = document.createElement("div");
          box.append(...build(
            "<p onclick='pwned=1' class=x>a<script>pwned=2<\\/script><img src=x onerror=pwned=3 alt=cat>" +
            "<a href='javascript:pwned=4'>b</a><custom-el>c</custom-el><style>p{}</style></p><h1 id=main>d</h1>",
            (text) => [text],
          ));
          return box.innerHTML;
        }"""
    )
    assert built == (
        '<p>a<span class="muted">[cat]</span><span class="link">b</span>'
        '<span class="muted"> (javascript:pwned=4)</span>c</p><h4>d</h4>'
    )
    assert page.evaluate("window.pwned") is None


def test_the_browser_itself_refuses_markup_from_strings(visit: Visits) -> None:
    visit.expected += ["TrustedHTML", "Content Security Policy", "Trusted Type"]
    page = visit("ana")
    refused = page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return false; } catch { return true; } }"
    )
    assert refused
