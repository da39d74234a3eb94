"""Who is asking: the session's cookie, its CSRF token, consent, and the roles. Routes take these as dependencies."""

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends, Request, Response

from preceptor.feedback.app.errors import ProblemError
from preceptor.feedback.app.guard import SAFE
from preceptor.feedback.app.parameters import Shape
from preceptor.feedback.app.settings import AppSettings
from preceptor.feedback.store import Store
from preceptor.feedback.store.people import PersonInfo, session_person
from preceptor.feedback.store.published import latest_version

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
    token = token_of(request)
    who = session_person(store_of(request), token) if token else None
    if who is None:
        raise ProblemError(401, "sign in first")
    if request.method not in SAFE:
        given = request.headers.get(CSRF_HEADER, "").encode()
        if not hmac.compare_digest(given, csrf_token(token).encode()):
            raise ProblemError(403, f"{CSRF_HEADER} is missing or wrong; get /api/session again", code="csrf")
    return who


def terms_to_agree(store: Store, who: PersonInfo) -> int | None:
    """The version of the terms that a person has yet to agree to; None if there is none."""
    with store.reading() as connection:
        latest = latest_version(connection, "terms")
    return latest if latest and who.consent_version != latest else None


def _labeler(request: Request, who: Annotated[PersonInfo, Depends(signed_in)]) -> PersonInfo:
    version = terms_to_agree(store_of(request), who)
    if version is not None:
        raise ProblemError(403, f"agree to version {version} of the terms first", code="consent")
    return who


def _reviewer(who: Annotated[PersonInfo, Depends(_labeler)]) -> PersonInfo:
    if who.role not in ("reviewer", "admin"):
        raise ProblemError(403, "this is for reviewers and admins")
    return who


def _admin(who: Annotated[PersonInfo, Depends(_labeler)]) -> PersonInfo:
    if who.role != "admin":
        raise ProblemError(403, "this is for admins")
    return who


StoreOf = Annotated[Store, Depends(store_of)]
SignedIn = Annotated[PersonInfo, Depends(signed_in)]
Labeler = Annotated[PersonInfo, Depends(_labeler)]
Reviewer = Annotated[PersonInfo, Depends(_reviewer)]
Admin = Annotated[PersonInfo, Depends(_admin)]


def session_of(store: Store, who: PersonInfo | None, token: str) -> Session:
    """What a page is told of a session."""
    if who is None:
        return Session()
    return Session(person=Me.model_validate(who), csrf=csrf_token(token), must_consent=terms_to_agree(store, who))
