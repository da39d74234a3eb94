"""What participants do in a chat, as prompts and judgements: what they ask, and what they say of the replies.

Everything here is about replies that the server itself has made (:class:`Said`). All is written under the consent of a
participant, read in the same transaction: once she has withdrawn, nothing can come in any more.

A thumb is a rating of one reply. It says on which side of the scale the reply stands and not how far from the middle,
so it is kept as the middle of that side: 6 of 7, or 2 of 7, with ``chat`` as its source and no flags. A choice between
two replies is a ranking of two. A reply that was written anew is a demonstration.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from preceptor.feedback.schema import CHAT, Prompt, Response
from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.errors import ForbiddenError, InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.participants import TEXT, Consent, consent_of
from preceptor.feedback.store.prompts import DEMONSTRATION_MODEL, add_prompt_rows, find_responses
from preceptor.feedback.store.settings import pseudonym, setting
from preceptor.feedback.store.tables import Judgement, Ranked, Rated, WrittenDemonstration
from preceptor.feedback.store.words import checked_text, mended, storable
from preceptor.text.conversation import Message

MAX_CHARACTERS = 100_000  # of a conversation; `preceptor prompts import` leaves out what is longer, too
Thumb = Literal["up", "down"]
OVERALL: dict[Thumb, int] = {"up": 6, "down": 2}


@dataclass(frozen=True)
class Said:
    """A reply that the server gave: the ``index``-th of the request ``id``, to the user and the messages."""

    id: str
    index: int
    user: str
    model: str
    messages: tuple[Message, ...]
    text: str

    @property
    def response(self) -> Response:
        """As a response to be judged."""
        return Response(text=storable(self.text), model=self.model)


@dataclass(frozen=True)
class Kept:
    """What an act has left in the store: the number of its event, None where there is none; whether it was there."""

    judgement: int | None
    repeated: bool = False


def keep_prompt(store: Store, token: str, messages: Sequence[Message]) -> str | None:
    """Keep what a participant asks; the user it is kept under, or None where there is no consent that holds.

    :class:`InvalidError` for a conversation that no prompt is made of. The same conversation twice is one prompt.
    """
    try:
        return _keep_prompt(store, token, messages)
    except IntegrityError:  # on PostgreSQL: two models were asked the same at once, and the other one wrote it
        return _keep_prompt(store, token, messages)


def rate(store: Store, token: str, said: Said, thumb: Thumb | None) -> Kept:
    """A thumb up or down; None takes it back. A later one stands in place of the one before."""

    def write(event: _Event) -> None:
        assert thumb is not None
        (response,) = event.responses
        mark = {"judgement_id": event.number, "response_id": response, "overall": OVERALL[thumb]}
        event.connection.execute(insert(Rated).values(ordinal=0, flags=[], **mark))

    return _say(store, token, [said], "rating", thumb, write)


def compare(store: Store, token: str, shown: Sequence[Said], preferred: int | None) -> Kept:
    """Which of two replies to one prompt, in the order in which they were shown, is better; None is a tie."""
    if len(shown) != 2 or (shown[0].id, shown[0].index) == (shown[1].id, shown[1].index):
        raise InvalidError("replies: compare two different replies")
    if shown[0].messages != shown[1].messages:
        raise InvalidError("replies: they answer different conversations; compare replies to the same one")
    if preferred not in (None, 0, 1):
        raise InvalidError(f"preferred: {preferred} is no place of a reply; give 0, 1 or null for a tie")

    def write(event: _Event) -> None:
        ranks = [1 if preferred in (None, place) else 2 for place in (0, 1)]
        marks = [
            {"judgement_id": event.number, "response_id": response, "ordinal": place, "place": place, "rank": rank}
            for place, (response, rank) in enumerate(zip(event.responses, ranks, strict=True))
        ]
        event.connection.execute(insert(Ranked), marks)

    return _say(store, token, shown, "ranking", [preferred], write)


def demonstrate(store: Store, token: str, said: Said, text: str) -> Kept:
    """The reply as it should have been, in the participant's words. A later one stands in place of the one before."""
    checked_text(text, "text")
    if not text.strip():
        raise InvalidError("text: is empty; write the reply as it should be")
    if text.strip() == said.text.strip():
        raise InvalidError("text: is the model's own, unchanged; a demonstration is somebody's own words")

    def write(event: _Event) -> None:
        mine = [Response(text=text, model=DEMONSTRATION_MODEL)]
        (written,) = find_responses(event.connection, event.at, event.prompt, mine, author_id=event.person)
        event.connection.execute(insert(WrittenDemonstration).values(judgement_id=event.number, response_id=written))

    return _say(store, token, [said], "demonstration", text, write)


# -------------------------------------------------------------------------------------------------


def _keep_prompt(store: Store, token: str, messages: Sequence[Message]) -> str | None:
    with store.writing() as connection:
        consent = consent_of(connection, token)
        if consent is None or not consent.holds:
            return None
        _prompt_id(store, connection, consent.user, messages)
    return consent.user


@dataclass(frozen=True)
class _Event:
    """An event that was just written, for what goes into the tables beside it."""

    connection: Connection
    number: int
    at: datetime
    person: int
    prompt: str
    responses: list[int]  # of the replies it is about, in their order


def _say(
    store: Store, token: str, about: Sequence[Said], kind: str, what: Any, write: Callable[[_Event], None]
) -> Kept:
    """Write an event about replies in place of the one of its kind before; ``what`` is None to take that one back."""
    about_what = [kind, about[0].user, *sorted([said.id, said.index] for said in about)]
    chain = f"chat/{hashlib.blake2b(json.dumps(about_what).encode(), digest_size=16).hexdigest()}/"
    digest = hashlib.sha256(json.dumps([[said.id, said.index] for said in about] + [what]).encode()).hexdigest()
    try:
        with store.writing() as connection:
            consent = _holding(connection, token, about)
            prompt = _prompt_id(store, connection, consent.user, about[0].messages)
            before, said_before = _last(connection, prompt, chain)
            if said_before == digest or (before is None and what is None):
                return Kept(before, repeated=True)
            at = store.now()
            event = {
                "kind": kind if what is not None else "withdrawal",
                "key": f"{chain}{before or 0}",
                "digest": digest,
                "prompt_id": prompt,
                "person_id": consent.person,
                "at": at,
                "source": CHAT,
                "supersedes": before,
                "detail": {"consent": consent.version},
            }
            number = connection.execute(insert(Judgement).values(event).returning(Judgement.id)).scalar_one()
            if what is not None:
                responses = find_responses(connection, at, prompt, [said.response for said in about])
                write(_Event(connection, number, at, consent.person, prompt, responses))
    except IntegrityError:  # only where writers do not queue, on PostgreSQL
        raise StaleError("this reply was judged twice at the same moment; the other one counts") from None
    return Kept(number)


def _holding(connection: Connection, token: str, about: Sequence[Said]) -> Consent:
    """The consent under which something is said of replies, all given to its bearer."""
    consent = consent_of(connection, token)
    if consent is None or not consent.holds:
        raise ForbiddenError("nothing is kept without consent to the latest version of the text")
    if any(said.user != consent.user for said in about):
        raise NotFoundError("there is no such reply")
    return consent


def _prompt_id(store: Store, connection: Connection, user: str, messages: Sequence[Message]) -> str:
    """The id of a conversation as this user's prompt, which is there afterwards."""
    if not messages or messages[-1].role != "user" or not messages[-1].content.strip():
        raise InvalidError("messages: a prompt ends with words of the user")
    length = sum(len(message.content) for message in messages)
    if length > MAX_CHARACTERS:
        raise InvalidError(f"messages: {length:,} characters are too many to be kept; at most {MAX_CHARACTERS:,} are")
    # What people wrote is refused if no text should hold it; what a model wrote before is not theirs to mend.
    kept = [one if one.role != "assistant" else Message(role=one.role, content=mended(one.content)) for one in messages]
    said = json.dumps([user, *([message.role, message.content] for message in kept)])
    number = pseudonym(setting(connection, "pseudonym_key"), f"{TEXT}-prompt", said)
    now = store.now()
    prompt = Prompt(id=number, user=user, messages=kept, source=CHAT, created=now.date().isoformat())
    add_prompt_rows(connection, now, [prompt], where="the conversation")
    return number


def _last(connection: Connection, prompt: str, chain: str) -> tuple[int | None, str | None]:
    """The number and digest of the last event of a chain, be it a withdrawal."""
    later = aliased(Judgement)
    followed = select(later.id).where(later.supersedes == Judgement.id).correlate(Judgement).exists()
    query = select(Judgement.id, Judgement.digest).where(
        Judgement.prompt_id == prompt, Judgement.key.startswith(chain), ~followed
    )
    row = connection.execute(query).one_or_none()
    return (None, None) if row is None else (row.id, row.digest)
