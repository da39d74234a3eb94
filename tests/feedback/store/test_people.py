"""People, invitations, sessions, consent: what is let in, and what is kept of it."""

import pytest
from sqlalchemy import text

from preceptor.feedback.store import Store
from preceptor.feedback.store.errors import ForbiddenError, InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.invitations import accept_invitation, invitation_role, invite
from preceptor.feedback.store.people import (
    consent,
    create_person,
    find_person,
    password_hash,
    people,
    person,
    set_password_hash,
    set_role,
    set_status,
)
from preceptor.feedback.store.published import publish, published
from preceptor.feedback.store.sessions import close_session, open_session, session_and_terms
from preceptor.feedback.store.tokens import new_token

from ..conftest import Clock


def test_names_are_the_same_in_any_case_and_taken_once(store: Store) -> None:
    ann = create_person(store, "  Ann  B ", role="admin", password_hash="$h")
    assert ann.name == "ann b"
    assert find_person(store, "ANN B") == ann == person(store, ann.id)
    assert password_hash(store, ann.id) == "$h"
    with pytest.raises(StaleError, match="ann b is taken"):
        create_person(store, "Ann B")
    assert people(store) == [ann]


@pytest.mark.parametrize("name", ["", "   ", "a" * 101, "ann\x00", "ann\u202ebob"])
def test_names_that_are_none(store: Store, name: str) -> None:
    with pytest.raises(InvalidError):
        create_person(store, name)
    assert people(store) == []


def test_an_invitation_lets_one_person_in_once(store: Store, clock: Clock) -> None:
    token = invite(store, role="reviewer", days=1)
    assert invitation_role(store, token) == "reviewer"
    ann = accept_invitation(store, token, "Ann", "$hash")
    assert ann.role == "reviewer"
    with pytest.raises(NotFoundError, match="unknown, used or over"):
        accept_invitation(store, token, "Ben", "$hash")
    late = invite(store, days=1)
    clock.move(86401)
    with pytest.raises(NotFoundError):
        invitation_role(store, late)


def test_a_name_that_is_taken_does_not_use_the_invitation_up(store: Store) -> None:
    create_person(store, "ann")
    token = invite(store)
    with pytest.raises(StaleError, match="ann is taken"):
        accept_invitation(store, token, "Ann", "$hash")
    assert accept_invitation(store, token, "Ben", "$hash").name == "ben"


def test_a_session_ends_by_time_by_hand_and_by_suspension(store: Store, clock: Clock) -> None:
    ann = create_person(store, "ann")
    token = open_session(store, ann.id, days=1)
    assert session_and_terms(store, token)[0] == ann
    assert session_and_terms(store, token + "x")[0] is None
    clock.move(86401)
    assert session_and_terms(store, token)[0] is None
    token = open_session(store, ann.id)
    close_session(store, token)
    assert session_and_terms(store, token)[0] is None
    for end in (lambda: set_password_hash(store, ann.id, "$new"), lambda: set_status(store, ann.id, "suspended")):
        token = open_session(store, ann.id)
        end()
        assert session_and_terms(store, token)[0] is None
    with pytest.raises(ForbiddenError):
        open_session(store, ann.id)


def test_no_token_is_kept(store: Store) -> None:
    tokens = [open_session(store, create_person(store, "ann").id), invite(store)]
    with store.reading() as connection:
        kept = str([connection.execute(text(f"SELECT * FROM {name}")).all() for name in ("sessions", "invitations")])
    assert not any(token in kept for token in tokens)


def test_the_latest_terms_are_to_be_agreed_to(store: Store) -> None:
    ann = create_person(store, "ann")
    token = open_session(store, ann.id)
    assert session_and_terms(store, token) == (ann, None)
    publish(store, "terms", {"en": "Be kind."})
    assert session_and_terms(store, token)[1] == 1
    consent(store, ann.id, 1)
    assert session_and_terms(store, token)[1] is None
    publish(store, "terms", {"en": "Be kinder.", "zh-Hans": "更友善。"})
    assert session_and_terms(store, token)[1] == 2
    with pytest.raises(StaleError, match="not the latest, 2"):
        consent(store, ann.id, 1)
    assert person(store, ann.id).consent_version == 1


def test_texts_are_kept_by_version_and_shown_in_english_for_want_of_better(store: Store) -> None:
    publish(store, "ranking", {"en": "one"})
    publish(store, "ranking", {"en": "two", "zh-Hans": "二"})
    chinese, french = published(store, "ranking", language="zh-Hans"), published(store, "ranking", language="fr")
    first = published(store, "ranking", version=1, language="zh-Hans")
    assert chinese and french and first
    assert (chinese.text, french.text, first.text) == ("二", "two", "one")
    assert published(store, "comparison") is None
    with pytest.raises(InvalidError, match="English"):
        publish(store, "ranking", {"zh-Hans": "三"})
    with pytest.raises(InvalidError, match="publish one of"):
        publish(store, "poem", {"en": "x"})


def test_who_did_what_is_written_down_and_no_password_with_it(store: Store) -> None:
    admin, ann = create_person(store, "eve", role="admin"), create_person(store, "ann")
    set_role(store, ann.id, "reviewer", by=admin.id)
    set_password_hash(store, ann.id, "$secret")
    with store.reading() as connection:
        rows = connection.execute(text("SELECT person_id, action, detail FROM audit ORDER BY id")).all()
    assert [(row.person_id, row.action) for row in rows] == [(admin.id, "role"), (ann.id, "password")]
    assert "secret" not in str(rows)
    with pytest.raises(NotFoundError):
        set_role(store, 999, "admin")


def test_a_token_is_never_taken_for_an_option() -> None:
    assert all(new_token().isalnum() for _ in range(500))
