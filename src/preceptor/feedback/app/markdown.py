"""Markdown from strangers (models, labelers, admins) as HTML that can be put into a page and never runs.

Two walls: the renderer passes no HTML through and knows no images (they would tell their server who reads), and what
comes out is cleaned by an allowlist (nh3, the Rust library ammonia). The page's Content-Security-Policy is the third.
"""

import nh3
from markdown_it import MarkdownIt

MAX_RENDERED = 50_000  # characters; longer texts come back as plain text
TAGS = frozenset(
    {"p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote"}
    | {"ul", "ol", "li", "a", "table", "thead", "tbody", "tr", "th", "td"}
)
SCHEMES = frozenset({"http", "https", "mailto"})


def render_markdown(text: str) -> str:
    """Sanitised HTML of a text."""
    if len(text) > MAX_RENDERED:
        return plain_html(text)
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
    try:
        rendered = parser.render(text)
    except RecursionError:
        return plain_html(text)
    return nh3.clean(
        rendered,
        tags=set(TAGS),
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        url_schemes=set(SCHEMES),
        link_rel="noopener noreferrer nofollow",
    )


def plain_html(text: str) -> str:
    """The text as it is, in a <pre>."""
    return f"<pre>{nh3.clean_text(text)}</pre>"
