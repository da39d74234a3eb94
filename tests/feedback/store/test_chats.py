"""What people do in a chat: kept under consent alone, exported as what it is, and gone when they withdraw."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import func, literal, select, table
from sqlalchemy.exc import DBAPIError, IntegrityError

from preceptor.cli import main
from preceptor.feedback.app.first import first_texts
from preceptor.feedback.store import Store, chats, open_store
from preceptor.feedback.store.audited import audit_events
from preceptor.feedback.store.chats import Said, compare, demonstrate, keep_prompt, rate
from preceptor.feedback.store.errors import ForbiddenError, InvalidError, NotFoundError, StaleError
from preceptor.feedback.store.export import export
from preceptor.feedback.store.judged import read_demonstrations, read_prompts, read_rankings, read_ratings
from preceptor.feedback.store.load import load_prompts, load_rankings, load_ratings
from preceptor.feedback.store.participants import agree, find_consent, withdraw_consent
from preceptor.feedback.store.people import people, set_status
from preceptor.feedback.store.published import publish
from preceptor.feedback.store.tables import Judgement, StoredPrompt, StoredResponse
from preceptor.text.conversation import Message

ASKED = (Message(role="user", content="What is snow?"),)


@pytest.fixture
def chatty(store: Store) -> Store:
    """A store that asks for consent with the text that comes with Preceptor."""
    first_texts(store)
    return store


@pytest.fixture
def token(chatty: Store) -> str:
    return agree(chatty, 1)[0]


def said(store: Store, token: str, number: int = 0, text: str = "Frozen rain.", **more: object) -> Said:
    consent = find_consent(store, token)
    assert consent is not None
    values = {"user": consent.user, "model": f"m{number}", "messages": ASKED, "text": text, "index": 0} | more
    return Said(id=f"chatcmpl-{number}", **values)  # type: ignore[arg-type]


def rows(store: Store) -> list[int]:
    """How many prompts, responses and judgements there are."""
    with store.reading() as connection:
        tables = (StoredPrompt, StoredResponse, Judgement)
        return [connection.execute(select(func.count()).select_from(one)).scalar_one() for one in tables]


def test_consent_is_kept_under_a_name_that_does_not_tell_the_token(chatty: Store, database: str) -> None:
    token, consent = agree(chatty, 1)
    assert (consent.version, consent.holds, consent.at) == (1, True, chatty.now())
    assert find_consent(chatty, token) == consent and token not in consent.user
    assert find_consent(chatty, token[:-1]) is None
    assert [(one.person, one.action, one.detail["version"]) for one in audit_events(chatty)] == [
        (consent.user, "consent", 1)
    ]
    assert agree(chatty, 1, token)[1].person == consent.person  # again: the same participant
    assert agree(chatty, 1)[1].person != consent.person
    assert people(chatty) == []  # no list of labelers shows them
    set_status(chatty, consent.person, "suspended")
    assert find_consent(chatty, token) is None


def test_a_new_version_of_the_text_is_asked_for_again(chatty: Store, token: str) -> None:
    assert keep_prompt(chatty, token, ASKED) is not None
    publish(chatty, "chat", {"en": "Other conditions."})
    assert keep_prompt(chatty, token, [Message(role="user", content="More?")]) is None
    with pytest.raises(ForbiddenError, match="latest version"):
        rate(chatty, token, said(chatty, token), "up")
    with pytest.raises(StaleError, match="version 1 is not the latest of the text, 2"):
        agree(chatty, 1, token)
    assert agree(chatty, 2, token)[0] == token
    assert keep_prompt(chatty, token, [Message(role="user", content="More?")]) is not None
    assert rows(chatty) == [2, 0, 0]


def test_the_same_conversation_is_one_prompt_of_its_user(chatty: Store, token: str) -> None:
    for _ in range(2):
        keep_prompt(chatty, token, ASKED)
    keep_prompt(chatty, agree(chatty, 1)[0], ASKED)
    first, second = read_prompts(chatty)
    assert first.user != second.user and first.id != second.id
    assert (first.source, first.kind, first.created) == ("chat", "other", "2030-01-01")
    garbled = [*ASKED, Message(role="assistant", content="a\x0e\u202e"), Message(role="user", content="What?")]
    keep_prompt(chatty, token, garbled)  # a model's reply before is mended
    assert "a\ufffd\ufffd" in [one.messages[1].content for one in read_prompts(chatty) if len(one.messages) == 3]
    for bad in (Message(role="assistant", content="x"), Message(role="user", content=" ")):
        with pytest.raises(InvalidError, match="ends with words of the user"):
            keep_prompt(chatty, token, [*ASKED, bad])
    with pytest.raises(InvalidError, match="100,001 characters are too many"):
        keep_prompt(chatty, token, [Message(role="user", content="x" * 100_001)])


def test_a_thumb_is_a_rating_that_the_next_one_replaces(chatty: Store, token: str) -> None:
    reply = said(chatty, token)

    def now() -> list[tuple[int, str]]:
        return [(rating.overall, rating.source) for rating, _ in read_ratings(chatty)]

    assert rate(chatty, token, reply, None).judgement is None  # there is none to take back
    first = rate(chatty, token, reply, "up")
    assert rate(chatty, token, reply, "up") == type(first)(first.judgement, repeated=True)
    assert now() == [(6, "chat")]
    rate(chatty, token, reply, "down")
    assert now() == [(2, "chat")]
    rate(chatty, token, reply, None)
    assert now() == []
    rate(chatty, token, reply, "up")
    rate(chatty, token, said(chatty, token, index=1), "down")  # another reply of the same request
    assert now() == [(6, "chat"), (2, "chat")]
    assert rows(chatty) == [1, 1, 5]  # events are only added


def test_a_choice_is_a_ranking_of_two_and_an_edit_a_demonstration(chatty: Store, token: str) -> None:
    pair = [said(chatty, token, number, f"reply {number}") for number in (0, 1)]
    compare(chatty, token, pair, 1)
    (judged,) = read_rankings(chatty)
    assert (judged.ranking.ranks, judged.ranking.source, judged.places) == ([2, 1], "chat", (0, 1))
    assert [(one.model, one.text) for one in judged.ranking.responses] == [("m0", "reply 0"), ("m1", "reply 1")]
    compare(chatty, token, pair[::-1], None)  # corrected, seen the other way round
    (judged,) = read_rankings(chatty)
    assert judged.ranking.ranks == [1, 1] and judged.ranking.responses[0].model == "m1"

    demonstrate(chatty, token, pair[0], "Snow is ice.")
    demonstrate(chatty, token, pair[0], "Snow is ice crystals.")
    ((demonstration, source),) = read_demonstrations(chatty)
    assert [one.content for one in demonstration.messages] == ["What is snow?", "Snow is ice crystals."]
    assert source == "chat"


def test_what_makes_no_sense_is_refused(chatty: Store, token: str) -> None:
    reply = said(chatty, token)
    other = said(chatty, token, 1, messages=(Message(role="user", content="Rain?"),))
    for shown, preferred, why in (([reply, reply], 0, "different"), ([reply, other], 0, "different conversations")):
        with pytest.raises(InvalidError, match=why):
            compare(chatty, token, shown, preferred)
    with pytest.raises(InvalidError, match="2 is no place"):
        compare(chatty, token, [reply, said(chatty, token, 1)], 2)
    for text, why in (("  ", "is empty"), (" Frozen rain.\n", "the model's own"), ("x\x00", "U\\+0000")):
        with pytest.raises(InvalidError, match=why):
            demonstrate(chatty, token, reply, text)
    stranger = agree(chatty, 1)[0]
    with pytest.raises(NotFoundError):  # not hers
        rate(chatty, stranger, reply, "down")
    with pytest.raises(ForbiddenError):
        rate(chatty, "nobody", reply, "down")
    assert rows(chatty) == [0, 0, 0]


def test_a_withdrawal_deletes_all_of_one_and_nothing_of_another(chatty: Store, token: str) -> None:
    other = agree(chatty, 1)[0]
    for who in (token, other):
        rate(chatty, who, said(chatty, who), "up")
        demonstrate(chatty, who, said(chatty, who), "Snow is ice.")
    late = said(chatty, token)
    assert rows(chatty) == [2, 4, 4]
    removed = withdraw_consent(chatty, token)
    assert (removed.prompts, removed.responses, removed.judgements) == (1, 2, 2)
    assert rows(chatty) == [1, 2, 2]
    assert keep_prompt(chatty, token, ASKED) is None
    with pytest.raises(ForbiddenError):
        rate(chatty, token, late, "up")
    with pytest.raises(NotFoundError, match="nothing to withdraw"):
        withdraw_consent(chatty, token)
    again, consent = agree(chatty, 1, token)
    assert again != token and consent.user != late.user  # she comes back as somebody else
    assert rows(chatty) == [1, 2, 2]


def test_a_withdrawal_that_was_interrupted_can_be_repeated(
    chatty: Store, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_prompt(chatty, token, ASKED)
    with monkeypatch.context() as patch:
        patch.setattr("preceptor.feedback.store.participants.forget", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            withdraw_consent(chatty, token)
    assert find_consent(chatty, token) is None and keep_prompt(chatty, token, ASKED) is None
    assert withdraw_consent(chatty, token).prompts == 1


def test_an_export_feeds_a_recipe_and_another_store(chatty: Store, token: str, database: str, tmp_path: Path) -> None:
    pair = [said(chatty, token, number, f"reply {number}") for number in (0, 1)]
    rate(chatty, token, pair[0], "down")
    compare(chatty, token, pair, 1)
    demonstrate(chatty, token, pair[0], "Snow is ice.")
    assert main(["feedback", "export", "--database", database, "--out", str(tmp_path / "out")]) == 0
    lines = {path.stem: [json.loads(line) for line in path.open()] for path in (tmp_path / "out").glob("*.jsonl")}
    assert {name: len(found) for name, found in lines.items()} == {
        "prompts": 1,
        "demonstrations": 1,
        "rankings": 1,
        "comparisons": 0,
        "ratings": 1,
    }
    (thumb,) = lines["ratings"]
    assert (thumb["overall"], thumb["source"], thumb["flags"]) == (2, "chat", {})
    user = pair[0].user
    assert all(user not in path.read_text() for path in (tmp_path / "out").iterdir())
    second = open_store(tmp_path / "second.db")
    for load, name in ((load_prompts, "prompts"), (load_rankings, "rankings"), (load_ratings, "ratings")):
        for times in (1, 0):  # twice is once
            assert load(second, tmp_path / "out" / f"{name}.jsonl").added == times
    export(second, tmp_path / "again")
    assert '"source":"chat"' in (tmp_path / "again" / "ratings.jsonl").read_text().replace(" ", "")
    second.close()


def test_a_withdrawal_in_the_midst_of_chats_leaves_nothing(chatty: Store, token: str) -> None:
    begun = Event()

    def chat(who: int) -> None:
        for number in count():
            message = Message(role="user", content=f"{who} asks {number}")
            if keep_prompt(chatty, token, [message]) is None:
                return
            if number == 2:
                begun.set()

    with ThreadPoolExecutor(4) as pool:
        chats = [pool.submit(chat, who) for who in range(4)]
        begun.wait(30)
        assert withdraw_consent(chatty, token).prompts >= 3
        for one in chats:
            one.result(30)
    assert rows(chatty) == [0, 0, 0]


def test_two_models_asked_at_once_keep_one_prompt(chatty: Store, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL two writers may insert the same prompt; whoever comes second finds it there."""
    insert, raced = chats.add_prompt_rows, []

    def race(*arguments: Any, **named: Any) -> int:
        if not raced:
            raced.append(True)
            raise IntegrityError("insert", None, ValueError("duplicate key"))
        return insert(*arguments, **named)

    monkeypatch.setattr(chats, "add_prompt_rows", race)
    assert keep_prompt(chatty, token, ASKED) is not None
    assert rows(chatty) == [1, 0, 0]


def test_no_error_message_says_what_people_wrote(chatty: Store) -> None:
    with pytest.raises(DBAPIError) as error, chatty.reading() as connection:
        connection.execute(select(literal("a secret")).select_from(table("nowhere")))
    assert "a secret" not in str(error.value)
