"""Texts that people read: terms, guidelines, fixed lists; and Markdown made safe."""

from typing import Annotated, get_args

from fastapi import APIRouter, Request, Response
from pydantic import Field, StringConstraints

from preceptor.feedback.app.access import Session, SignedIn, StoreOf, session_of, token_of
from preceptor.feedback.app.errors import ProblemError
from preceptor.feedback.app.first import LANGUAGES
from preceptor.feedback.app.markdown import render_markdown
from preceptor.feedback.app.parameters import LARGEST, Before, Body, Language, Shape
from preceptor.feedback.app.passwords import MIN_PASSWORD
from preceptor.feedback.app.replies import Route, reply
from preceptor.feedback.schema import FLAGS, USE_CASES
from preceptor.feedback.screening import CUTOFFS
from preceptor.feedback.store.people import consent
from preceptor.feedback.store.published import Text, published
from preceptor.feedback.store.tables.people import ROLES
from preceptor.feedback.store.tables.queues import TASK_KINDS, TaskKind
from preceptor.feedback.store.words import MAX_TEXT
from preceptor.feedback.tasks import SKIP_REASONS
from preceptor.feedback.tasks.payloads import MIN_EXAMPLES, Form, Way

router = APIRouter(prefix="/api", tags=["reading"], route_class=Route)
MAX_TEXTS = 20
MAX_TOGETHER = 500_000


class ReadText(Shape):
    """One version of a published text, as Markdown and as HTML."""

    name: str
    version: int
    language: str
    text: str
    html: str


class Consent(Body):
    """The version of the terms that one agrees to."""

    version: Annotated[int, Field(ge=1, le=LARGEST)]


class Choices(Shape):
    """The words of every fixed list."""

    flags: list[str]
    skip_reasons: list[str]
    use_cases: list[str]
    forms: list[str]
    ways: list[str]
    roles: list[str]
    kinds: list[str]
    languages: list[str]
    criteria: dict[str, float]
    min_password: int
    min_examples: int
    max_text: int


class Texts(Body):
    """Markdown, of anybody."""

    texts: list[Annotated[str, StringConstraints(max_length=MAX_TOGETHER)]] = Field(max_length=MAX_TEXTS)


class Rendered(Shape):
    """The same as HTML that is safe to insert."""

    html: list[str]


CHOICES = Choices(
    flags=list(FLAGS),
    skip_reasons=list(SKIP_REASONS),
    use_cases=list(USE_CASES),
    forms=list(get_args(Form)),
    ways=list(get_args(Way)),
    roles=list(ROLES),
    kinds=list(TASK_KINDS),
    languages=list(LANGUAGES),
    criteria=CUTOFFS,
    min_password=MIN_PASSWORD,
    min_examples=MIN_EXAMPLES,
    max_text=MAX_TEXT,
)


@router.get("/choices", response_model=Choices)
def choices() -> Response:
    """The words of every fixed list."""
    return reply(CHOICES)


@router.get("/terms", response_model=ReadText)
def terms(store: StoreOf, me: SignedIn, language: Language = "") -> Response:
    """The latest terms, in one's own language if they are there in it."""
    return reply(read_text(published(store, "terms", language=language or me.language), "terms"))


@router.post("/consent", response_model=Session)
def agree(request: Request, store: StoreOf, me: SignedIn, body: Consent) -> Response:
    """Agree to the latest terms."""
    consent(store, me.id, body.version)
    return reply(session_of(request, token_of(request)))


@router.get("/guidelines/{kind}", response_model=ReadText)
def guidelines(
    store: StoreOf, me: SignedIn, kind: TaskKind, version: Before = None, language: Language = ""
) -> Response:
    """The guidelines of a kind of task: the latest, or the version that a task is done under."""
    found = published(store, kind, version=version, language=language or me.language)
    return reply(read_text(found, f"guidelines for {kind}"))


@router.post("/markdown", response_model=Rendered)
def markdown(_: SignedIn, body: Texts) -> Response:
    """Texts as sanitised HTML."""
    if sum(map(len, body.texts)) > MAX_TOGETHER:
        raise ProblemError(422, f"texts: more than {MAX_TOGETHER:,} characters together; send them in parts")
    return reply(Rendered(html=[render_markdown(text) for text in body.texts]))


def read_text(text: Text | None, what: str) -> ReadText:
    """A published text as it is read; 404 if there is none."""
    if text is None:
        raise ProblemError(404, f"there are no {what} in this version or language")
    return ReadText(
        name=text.name,
        version=text.version,
        language=text.language,
        text=text.text,
        html=render_markdown(text.text),
    )
