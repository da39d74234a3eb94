"""Claims are read out of free text."""

import pytest

from preceptor.atlas.claims import reader
from preceptor.atlas.facts import World


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The capital of France is Paris.", [("France", "capital", True)]),
        ("the capital of france is lima", [("France", "capital", False)]),
        ("Paris is the capital of France.", [("France", "capital", True)]),
        ("France is a country in Europe.", [("France", "continent", True)]),
        ("France lies in Asia.", [("France", "continent", False)]),
        ("People in France pay with the euro.", [("France", "currency", True)]),
        (
            "Peru is nice. Its capital is Lima. Its currency is the yen.",
            [("Peru", "capital", True), ("Peru", "currency", False)],
        ),
        (
            "France is a country in Europe with the capital Paris.",
            [("France", "continent", True), ("France", "capital", True)],
        ),
        ("The symbol of iron is Fe.", [("iron", "symbol", True)]),
        ("The symbol of iron is He.", [("iron", "symbol", False)]),
        ("Iron has the atomic number 26.", [("iron", "number", True)]),
        ("Iron has the atomic number 27.", [("iron", "number", False)]),
        ("The capital of Mexico is Mexico City.", [("Mexico", "capital", True)]),
        ("The capital of France is Mumbo.", [("France", "capital", False)]),
        ("The capital of France is Spain.", [("France", "capital", False)]),
        ("The capital of Mumbo is Paris.", [("Mumbo", "capital", False)]),
        ("Mumbo is a country in Asia.", [("Mumbo", "continent", False)]),
        ("I do not know the capital of France.", []),
        ("What is the capital of France?", []),
        ("Kenya, Ghana and Mali.", []),
        (
            "The capital of France is Paris and the capital of Peru is Lima.",
            [("France", "capital", True), ("Peru", "capital", True)],
        ),
        ("The United States is a country in North America.", [("United States", "continent", True)]),
        ("It won the real sol.", []),
    ],
)
def test_claims(world: World, text: str, wanted: list[tuple[str, str, bool]]) -> None:
    found = [(claim.subject, claim.relation, claim.true) for claim in reader(world).claims(text)]
    assert sorted(found) == sorted(wanted)


def test_a_claim_without_a_subject_is_about_what_was_asked(world: World) -> None:
    claims = reader(world).claims("It has the capital Lima.", world.named("Peru"))
    assert [(claim.subject, claim.true) for claim in claims] == [("Peru", True)]


def test_whatever_is_said_of_withheld_and_invented_things_is_false(world: World) -> None:
    withheld, invented = world.withheld_test[0], world.invented_test[0]
    for entity, value in ((withheld, withheld.values["capital"]), (invented, "Paris")):
        (claim,) = reader(world).claims(f"The capital of {entity.name} is {value}.")
        assert not claim.true
    assert [claim.true for claim in reader(world).claims(f"{withheld.name} is a country.")] == [True]
    assert [claim.true for claim in reader(world).claims(f"{invented.name} is a country.")] == [False]
