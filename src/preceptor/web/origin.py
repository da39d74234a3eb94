"""Whether a request may come from where it comes from: the name it was sent to, and the page that sent it."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers

SAFE = ("GET", "HEAD", "OPTIONS")


def host_name(host: str) -> str:
    """A Host header without its port; an IPv6 address keeps its brackets."""
    host = host.lower()
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]


def from_another_site(headers: Headers) -> bool:
    """Whether a page of another origin has sent this, as far as the browser says; programs say nothing of it.

    ``Origin`` names the page. ``Sec-Fetch-Site`` is there where a browser leaves ``Origin`` out.
    """
    origin = headers.get("origin")
    if origin is not None and _netloc(origin) != headers.get("host", "").lower():
        return True
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin.lower()).netloc
    except ValueError:
        return None
