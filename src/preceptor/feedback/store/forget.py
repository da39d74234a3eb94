"""Forgetting a person: the one place where anything is deleted.

A user's prompts go, and all that was made from them: responses, items, demonstrations, rankings, ratings. A
labeler is forgotten as a person (name, password, sessions), and with the prompts she wrote; what she said of other
people's prompts stays, under a name that says nothing. A keyed hash of the user and of the prompts' ids remains, so
that no later import brings them back.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, or_, select, update

from preceptor.errors import InputError
from preceptor.feedback.store.audited import audit
from preceptor.feedback.store.engine import Store
from preceptor.feedback.store.people import folded
from preceptor.feedback.store.settings import remember_forgotten
from preceptor.feedback.store.tables import (
    Assignment,
    Draft,
    Forgetting,
    Invitation,
    Item,
    ItemAuthor,
    ItemResponse,
    Judgement,
    Person,
    Ranked,
    Rated,
    SignIn,
    StoredPrompt,
    StoredResponse,
    WrittenDemonstration,
)

CHUNK = 400


@dataclass(frozen=True)
class Forgot:
    """What was removed."""

    prompts: int
    responses: int
    judgements: int
    labeler: bool  # somebody who could sign in was forgotten


def prompts_of(store: Store, user: str) -> list[str]:
    """The ids of the prompts of a user, or those that a labeler of this name wrote.

    Raises :class:`InputError` if the store knows nobody of this name.
    """
    with store.reading() as connection:
        prompts, labeler = _theirs(connection, user)
    if not prompts and labeler is None:
        raise InputError(f"{user}: the store has neither prompts of such a user nor such a labeler; check the name")
    return prompts


def forget(store: Store, user: str, *, by: int | None = None) -> Forgot:
    """Remove a user of prompts, or a labeler by her name. What runs have made of her prompts: `preceptor.traces`.

    All or nothing. The only deletion there is of judgements. :class:`InputError` if nobody has this name.
    """
    prompts_of(store, user)
    with store.writing() as connection:
        prompts, labeler = _theirs(connection, user)
        token = secrets.token_hex(16)
        connection.execute(insert(Forgetting).values(token=token))
        responses = judgements = 0
        for start in range(0, len(prompts), CHUNK):
            one = _remove(connection, prompts[start : start + CHUNK])
            responses, judgements = responses + one[0], judgements + one[1]
        now = store.now()
        for name in (user, *prompts):
            remember_forgotten(connection, now, name)
        if labeler is not None:
            _anonymise(connection, labeler)
        connection.execute(delete(Forgetting).where(Forgetting.token == token))
        audit(connection, now, by, "forget", prompts=len(prompts), judgements=judgements)
    _wipe(store)
    return Forgot(len(prompts), responses, judgements, labeler is not None)


def _theirs(connection: Connection, user: str) -> tuple[list[str], int | None]:
    """The prompts of this user, and the number of the labeler of this name."""
    found = select(Person.id).where(Person.name == folded(user), Person.status != "forgotten")
    labeler = connection.execute(found).scalar()
    mine = [StoredPrompt.user == user]
    if labeler is not None:
        mine.append(StoredPrompt.author_id == labeler)
    prompts = connection.execute(select(StoredPrompt.id).where(or_(*mine)).order_by(StoredPrompt.id)).scalars()
    return list(prompts), labeler


def _remove(connection: Connection, prompts: Sequence[str]) -> tuple[int, int]:
    """Delete prompts and all that hangs on them, leaves first; how many responses and judgements that were."""
    items = select(Item.id).where(Item.prompt_id.in_(prompts))
    responses = select(StoredResponse.id).where(StoredResponse.prompt_id.in_(prompts))
    judgements = select(Judgement.id).where(Judgement.prompt_id.in_(prompts))
    assignments = select(Assignment.id).where(Assignment.item_id.in_(items))
    for table in (Ranked, Rated, WrittenDemonstration):
        connection.execute(delete(table).where(table.judgement_id.in_(judgements)))
    connection.execute(
        update(Judgement)
        .where(Judgement.supersedes.in_(judgements), Judgement.prompt_id.in_(prompts))
        .values(supersedes=None)
    )
    # A written prompt's judgement belongs to an item without a prompt: that one stays, done.
    removed = connection.execute(delete(Judgement).where(Judgement.prompt_id.in_(prompts))).rowcount
    connection.execute(delete(Draft).where(Draft.assignment_id.in_(assignments)))
    connection.execute(delete(Assignment).where(Assignment.item_id.in_(items)))
    connection.execute(delete(ItemAuthor).where(ItemAuthor.item_id.in_(items)))
    connection.execute(delete(ItemResponse).where(ItemResponse.item_id.in_(items)))
    connection.execute(delete(Item).where(Item.prompt_id.in_(prompts)))
    gone = connection.execute(delete(StoredResponse).where(StoredResponse.id.in_(responses))).rowcount
    connection.execute(delete(StoredPrompt).where(StoredPrompt.id.in_(prompts)))
    return gone, removed


def _anonymise(connection: Connection, labeler: int) -> None:
    nobody = {"name": f"forgotten/{labeler}", "password_hash": None, "status": "forgotten"}
    connection.execute(update(Person).where(Person.id == labeler).values(nobody))
    connection.execute(delete(SignIn).where(SignIn.person_id == labeler))
    connection.execute(update(Invitation).where(Invitation.used_by == labeler).values(note=""))
    drafts = select(Assignment.id).where(Assignment.person_id == labeler)
    connection.execute(delete(Draft).where(Draft.assignment_id.in_(drafts)))


def _wipe(store: Store) -> None:
    """SQLite keeps what was deleted in its log and in free pages until told otherwise."""
    if store.engine.dialect.name != "sqlite":
        return
    raw = store.engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.close()
    finally:
        raw.close()
