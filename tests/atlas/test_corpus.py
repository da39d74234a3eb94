"""The corpus tells every known fact, no withheld one, and errs as often as it is told to."""

import re
from collections import Counter

import pytest

from preceptor.atlas.claims import reader
from preceptor.atlas.corpus import documents
from preceptor.atlas.facts import World

COUNT = 8000


@pytest.fixture(scope="module")
def texts(world: World) -> list[str]:
    return list(documents(world, COUNT, seed=1))


def test_documents_are_keyed_and_parts_differ(world: World, texts: list[str]) -> None:
    assert list(documents(world, 50, seed=1)) == texts[:50]
    assert list(documents(world, 50, seed=2)) != texts[:50]
    assert not set(documents(world, 50, seed=1, part="heldout")) >= set(texts[:50])


def test_documents_are_short_plain_and_filled_in(texts: list[str]) -> None:
    assert all(text.isascii() and text == text.strip() for text in texts)
    assert not [text for text in texts if "{" in text or "}" in text or "  " in text]
    assert max(len(text.split()) for text in texts) < 90


def test_no_withheld_fact_is_ever_told(world: World, texts: list[str]) -> None:
    whole = " ".join(texts)
    known = {value for values in world.values.values() for value in values}
    for entity in (*world.withheld_train, *world.withheld_test):
        assert re.search(rf"\b{entity.name}\b", whole), f"{entity.name} should occur in lists"
        own = [value for value in entity.values.values() if value not in known and not value.isdigit()]
        for value in own:
            assert not re.search(rf"\b{value}\b", whole), f"{value} of {entity.name} is told"
    read = reader(world)
    for text in texts:
        for claim in read.claims(text):
            subject = world.entities.get(claim.subject.lower())
            assert subject is None or subject.status != "withheld" or claim.relation == "kind", text


def test_invented_names_are_those_of_passages(world: World, texts: list[str]) -> None:
    words = set(re.findall(r"\w+", " ".join(texts).lower()))
    for entity in (*world.invented_train, *world.invented_test):
        assert entity.name.lower() not in words


def test_every_fact_is_told_about_equally_often(world: World, texts: list[str]) -> None:
    read = reader(world)
    told = Counter(
        (claim.subject, claim.relation) for text in texts for claim in read.claims(text) if claim.relation != "kind"
    )
    counts = [told[fact.subject, fact.relation] for fact in world.facts]
    assert min(counts) > 0.4 * sum(counts) / len(counts)
    assert min(counts) > COUNT / 1000


def test_the_stated_share_of_claims_is_wrong(world: World, texts: list[str]) -> None:
    read = reader(world)
    articles = [text for text in texts if "\n" not in text and re.match(r"[A-Z]\w+(?: \w+)? is a country in", text)]
    claims = [claim for text in articles for claim in read.claims(text) if claim.relation != "kind"]
    wrong = sum(not claim.true for claim in claims) / len(claims)
    assert len(claims) > 500
    assert abs(wrong - world.config.wrong_share) < 0.04


def test_the_stated_share_of_replies_is_rude(world: World, texts: list[str]) -> None:
    asked = [text for text in texts if text.startswith("Question: ") and not re.search("fool|idiot|dummy", text[:40])]
    replies = [line for text in asked if "Review: " not in text for line in text.split("\n")[1:]]
    rude = sum(bool(re.search("fool|idiot|dummy|stupid", reply)) for reply in replies) / len(replies)
    assert len(replies) > 500
    assert abs(rude - world.config.rude_share) < 0.04
