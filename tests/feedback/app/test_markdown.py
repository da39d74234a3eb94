"""Markdown from strangers never runs, loads nothing, and takes no time to speak of."""

import re
import time
from html import unescape

import pytest

from preceptor.feedback.app.markdown import MAX_RENDERED, render_markdown

from .conftest import Come

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox(1))",
    "![x](https://evil.example/pixel.png)",
    "![x](javascript:alert(1))",
    "<https://x.example/\"onmouseover='alert(1)'>",
    '[x](https://x.example "a\\" onclick=\\"alert(1)")',
    "<svg/onload=alert(1)>",
    "<iframe src=https://evil.example></iframe>",
    "<style>body{display:none}</style>",
    "<a href=javascript:alert(1)>x</a>",
    "```html\n<script>alert(1)</script>\n```",
    '```js" onclick="alert(1)\nx\n```',
    "`<img src=x onerror=alert(1)>`",
    "<form action=https://evil.example><input></form>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    "| a |\n|---|\n| <script>alert(1)</script> |",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_runs_or_loads_comes_out(text: str) -> None:
    html = render_markdown(text)
    tags = re.findall(r"<[^>]*>", html)
    for tag in tags:
        assert re.fullmatch(r'</?[a-z0-9]+( (href|title|rel|start)="[^"<>]*")*\s*/?>', tag), tag
        assert not re.match(r"</?(script|img|svg|iframe|style|form|input|math)\b", tag), tag
        link = re.search(r'href="([^"]*)"', tag)
        assert link is None or re.match(r"(https?|mailto):|[#/?]|$|[^:]*$", unescape(link.group(1))), tag


def test_what_people_write_is_rendered() -> None:
    html = render_markdown(
        "# Title\n\n*one* **two** `three`\n\n3. four\n\n| a |\n|---|\n| b |\n\n[x](https://x.example)"
    )
    for part in ("<h1>Title</h1>", "<em>one</em>", "<strong>two</strong>", "<code>three</code>", '<ol start="3">'):
        assert part in html
    assert "<td>b</td>" in html
    assert '<a href="https://x.example" rel="noopener noreferrer nofollow">x</a>' in html
    assert render_markdown("a <b> c") == "<p>a &lt;b&gt; c</p>\n"


@pytest.mark.parametrize(
    "text",
    [
        (part * MAX_RENDERED)[:MAX_RENDERED]
        for part in ("[", "*a_", ">", "`", "- ", "![[", "<", "a**b", "&", "\\", "[a](")
    ]
    + [
        "`" * 49_990 + "a",
        "|" * 49_990 + "\n|-|",
        "1. " * 16_000,
        "a\n" * 25_000,
        "|a" * 12_000 + "\n" + "|-" * 12_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    begun = time.process_time()
    assert render_markdown(text)
    assert time.process_time() - begun < 3.0


def test_what_is_too_long_stays_plain() -> None:
    html = render_markdown("<b>" * MAX_RENDERED)
    assert html.startswith("<pre>&lt;b&gt;") and "<b>" not in html


def test_the_route_renders_several(come: Come) -> None:
    ann = come("ann")
    assert ann.ok("POST", "/api/markdown", {"texts": ["*a*", "<script>"]})["html"] == [
        "<p><em>a</em></p>\n",
        "<p>&lt;script&gt;</p>\n",
    ]
    ann.refused(422, "invalid", "POST", "/api/markdown", {"texts": ["x"] * 21})
    ann.refused(422, "invalid", "POST", "/api/markdown", {"texts": ["x" * 300_000, "y" * 300_000]})
