"""Signing in and out, invitations, passwords."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from pydantic import StringConstraints

from preceptor.feedback.app.access import Session, SignedIn, StoreOf, clear_cookie, session_of, set_cookie, token_of
from preceptor.feedback.app.errors import ProblemError
from preceptor.feedback.app.first import PageLanguage
from preceptor.feedback.app.parameters import Body, Line, Shape
from preceptor.feedback.app.passwords import MAX_PASSWORD, Passwords
from preceptor.feedback.app.replies import Route, reply
from preceptor.feedback.store.invitations import accept_invitation, invitation_role
from preceptor.feedback.store.people import find_person, password_hash, set_language, set_password_hash, sign_in_name
from preceptor.feedback.store.sessions import close_session, open_session
from preceptor.web.attempts import Attempts

router = APIRouter(prefix="/api", tags=["account"], route_class=Route)
Password = Annotated[str, StringConstraints(max_length=MAX_PASSWORD)]
T = TypeVar("T")


class SignIn(Body):
    """A name, in any case, and its password."""

    name: Line
    password: Password


class Invited(Body):
    """What stands behind # in an invitation's link."""

    token: Line


class Accept(Invited):
    """An invitation, and the account that it becomes."""

    name: Line
    password: Password
    language: PageLanguage = "en"


class NewPassword(Body):
    """The password as it is and as it is to be."""

    current: Password
    new: Password


class ChangeMe(Body):
    """What people may change of themselves."""

    language: PageLanguage


class Offer(Shape):
    """What an invitation makes of whoever accepts it."""

    role: str


@router.get("/session", response_model=Session)
def session(request: Request) -> Response:
    """Who is signed in in this browser, if anybody is, and the CSRF token."""
    return reply(session_of(request, token_of(request)))


@router.post("/session", response_model=Session)
async def sign_in(request: Request, store: StoreOf, body: SignIn) -> Response:
    """Sign in. Wrong passwords are counted, by name and by address."""
    name, address = sign_in_name(body.name), request.client.host if request.client else ""
    by_name, by_address = _attempts(request)
    _take(by_address, address)
    _take(by_name, name)

    def check() -> str | None:
        who = find_person(store, name)
        kept = password_hash(store, who.id) if who is not None else None
        passwords = _passwords(request)
        if not passwords.fits(kept, body.password) or who is None or kept is None:
            return None
        if passwords.is_old(kept):
            set_password_hash(store, who.id, passwords.hash(body.password))
        return open_session(store, who.id, days=request.app.state.settings.session_days)

    token = await _hashing(request, check)
    if token is None:
        raise ProblemError(401, "the name or the password is wrong", code="wrong_password")
    by_name.clear(name)
    by_address.forgive(address)
    return await anyio.to_thread.run_sync(_welcome, request, token)


@router.delete("/session", status_code=204)
def sign_out(request: Request, store: StoreOf, _: SignedIn) -> Response:
    """Sign out of this browser."""
    close_session(store, token_of(request))
    response = Response(status_code=204)
    clear_cookie(request, response)
    return response


@router.post("/invitation", response_model=Offer)
def look_at_invitation(store: StoreOf, body: Invited) -> Response:
    """Whether an invitation holds, and for what."""
    return reply(Offer(role=invitation_role(store, body.token)))


@router.post("/invitation/accept", response_model=Session)
async def accept(request: Request, store: StoreOf, body: Accept) -> Response:
    """Come in by an invitation: the account is made, and signed in."""
    await anyio.to_thread.run_sync(invitation_role, store, body.token)  # before work is done for anybody who asks

    def make() -> str:
        who = accept_invitation(store, body.token, body.name, _passwords(request).hash(body.password))
        if body.language != who.language:
            set_language(store, who.id, body.language)
        return open_session(store, who.id, days=request.app.state.settings.session_days)

    token = await _hashing(request, make)
    return await anyio.to_thread.run_sync(_welcome, request, token)


@router.post("/password", response_model=Session)
async def change_password(request: Request, store: StoreOf, me: SignedIn, body: NewPassword) -> Response:
    """Change one's password; all other sessions end."""
    by_name, _ = _attempts(request)
    _take(by_name, me.name)

    def change() -> str | None:
        passwords = _passwords(request)
        if not passwords.fits(password_hash(store, me.id), body.current):
            return None
        set_password_hash(store, me.id, passwords.hash(body.new))
        return open_session(store, me.id, days=request.app.state.settings.session_days)

    token = await _hashing(request, change)
    if token is None:
        raise ProblemError(401, "the current password is wrong", code="wrong_password")
    by_name.clear(me.name)
    return await anyio.to_thread.run_sync(_welcome, request, token)


@router.patch("/me", response_model=Session)
def change_me(request: Request, store: StoreOf, me: SignedIn, body: ChangeMe) -> Response:
    """Change the language of the pages."""
    set_language(store, me.id, body.language)
    return reply(session_of(request, token_of(request)))


# -------------------------------------------------------------------------------------------------


def _welcome(request: Request, token: str) -> Response:
    """The answer to whoever has just signed in."""
    response = reply(session_of(request, token))
    set_cookie(request, response, token)
    return response


async def _hashing(request: Request, work: Callable[[], T]) -> T:
    """Do work that hashes a password: few at once, and never in the threads that labelers' requests need."""
    return await anyio.to_thread.run_sync(work, limiter=request.app.state.hashing)


def _attempts(request: Request) -> tuple[Attempts, Attempts]:
    attempts: tuple[Attempts, Attempts] = request.app.state.attempts
    return attempts


def _passwords(request: Request) -> Passwords:
    passwords: Passwords = request.app.state.passwords
    return passwords


def _take(attempts: Attempts, key: str) -> None:
    wait = attempts.take(key)
    if wait > 0:
        seconds = str(int(wait) + 1)
        raise ProblemError(429, f"too many attempts; wait {seconds} seconds", headers={"Retry-After": seconds})
