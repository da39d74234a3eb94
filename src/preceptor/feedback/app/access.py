"""Who is asking: the session's cookie, its CSRF token, consent, and the roles. Routes take these as dependencies."""

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends, Request, Response

from preceptor.feedback.app.errors import ProblemError
from preceptor.feedback.app.parameters import Shape
from preceptor.feedback.app.settings import AppSettings
from preceptor.feedback.store import Store
from preceptor.feedback.store.people import PersonInfo
from preceptor.feedback.store.sessions import session_and_terms
from preceptor.feedback.store.tables.people import ROLES
from preceptor.web.origin import SAFE

COOKIE = "preceptor_session"
CSRF_HEADER = "X-CSRF-Token"


class Me(Shape):
    """Who is signed in."""

    id: int
    name: str
    role: str
    language: str


class Session(Shape):
    """What a page knows of its session: who, the token for changes, and terms still to be agreed to."""

    person: Me | None = None
    csrf: str | None = None
    must_consent: int | None = None


def store_of(request: Request) -> Store:
    """The store that the app serves."""
    store: Store = request.app.state.store
    return store


async def _store(request: Request) -> Store:
    return store_of(request)  # async only so that no thread is asked for it


def cookie_name(request: Request) -> str:
    """Over https the name makes browsers insist on ``Secure``, on this host, and on the whole of it."""
    return f"__Host-{COOKIE}" if request.url.scheme == "https" else COOKIE


def token_of(request: Request) -> str:
    """The session's token, as the browser sent it; empty if there is none."""
    return request.cookies.get(cookie_name(request), "")


def csrf_token(token: str) -> str:
    """What proves that a page of ours, which has asked for it, sends a change. Tells nothing of the session's token."""
    return hmac.new(token.encode("utf-8", "replace"), b"csrf", hashlib.sha256).hexdigest()


def set_cookie(request: Request, response: Response, token: str) -> None:
    """Give the browser its session."""
    settings: AppSettings = request.app.state.settings
    response.set_cookie(
        cookie_name(request),
        token,
        max_age=int(settings.session_days * 86400),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def clear_cookie(request: Request, response: Response) -> None:
    """Take it away."""
    response.delete_cookie(
        cookie_name(request), path="/", secure=request.url.scheme == "https", httponly=True, samesite="strict"
    )


def signed_in(request: Request) -> PersonInfo:
    """Whoever the session belongs to: 401 without one; 403 for a change without the session's CSRF token."""
    return _who(request)[0]


def _who(request: Request) -> tuple[PersonInfo, int | None]:
    """The person, and the version of the terms that she has yet to agree to."""
    token = token_of(request)
    who, terms = session_and_terms(store_of(request), token) if token else (None, None)
    if who is None:
        raise ProblemError(401, "sign in first")
    if request.method not in SAFE:
        given = request.headers.get(CSRF_HEADER, "").encode()
        if not hmac.compare_digest(given, csrf_token(token).encode()):
            raise ProblemError(403, f"{CSRF_HEADER} is missing or wrong; get /api/session again", code="csrf")
    return who, terms


def _allowed(request: Request, roles: tuple[str, ...], whom: str) -> PersonInfo:
    """Whoever asks, if she has agreed to the terms and has one of the roles."""
    who, terms = _who(request)
    if terms is not None:
        raise ProblemError(403, f"agree to version {terms} of the terms first", code="consent")
    if who.role not in roles:
        raise ProblemError(403, f"this is for {whom}")
    return who


def _labeler(request: Request) -> PersonInfo:
    return _allowed(request, ROLES, "people")


def _reviewer(request: Request) -> PersonInfo:
    return _allowed(request, ("reviewer", "admin"), "reviewers and admins")


def _admin(request: Request) -> PersonInfo:
    return _allowed(request, ("admin",), "admins")


class Asking:
    """Somebody who asks for a task, not looked at yet."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def labeler(self) -> PersonInfo:
        """Who it is; 401 or 403 if it may not be. To be called first thing in a route, in the route's own thread.

        The busiest routes do it this way: a dependency would need a thread of its own, which costs as much as the
        statement that it runs.
        """
        return _labeler(self._request)


async def _asking(request: Request) -> Asking:
    return Asking(request)


Asks = Annotated[Asking, Depends(_asking)]
StoreOf = Annotated[Store, Depends(_store)]
SignedIn = Annotated[PersonInfo, Depends(signed_in)]
Labeler = Annotated[PersonInfo, Depends(_labeler)]
Reviewer = Annotated[PersonInfo, Depends(_reviewer)]
Admin = Annotated[PersonInfo, Depends(_admin)]


def session_of(request: Request, token: str) -> Session:
    """What a page is told of the session with this token."""
    who, terms = session_and_terms(store_of(request), token) if token else (None, None)
    if who is None:
        return Session()
    return Session(person=Me.model_validate(who), csrf=csrf_token(token), must_consent=terms)
