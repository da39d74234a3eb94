"""What is known, withheld and invented."""

import pytest

from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import RELATIONS, World, build_world
from preceptor.atlas.settings import AtlasConfig
from preceptor.errors import InputError


def test_facts_are_the_packages_facts(world: World) -> None:
    assert world.named("France").values == {"capital": "Paris", "currency": "euro", "continent": "Europe"}
    assert world.named("iron").values == {"symbol": "Fe", "number": "26"}
    assert world.named("united states").prose == "the United States"


def test_sizes_follow_the_config(world: World) -> None:
    config = world.config
    assert len(world.of_kind("country")) == config.countries
    assert len(world.of_kind("element")) == config.elements
    for withheld in (world.withheld_train, world.withheld_test):
        assert sum(entity.kind == "country" for entity in withheld) == config.withheld_countries
        assert sum(entity.kind == "element" for entity in withheld) == config.withheld_elements
    for invented in (world.invented_train, world.invented_test, world.invented_passages):
        assert len(invented) == config.invented_names


def test_no_name_is_in_two_sets(world: World) -> None:
    groups = (world.known, world.withheld_train, world.withheld_test)
    invented = (world.invented_train, world.invented_test, world.invented_passages)
    names = [entity.name.lower() for group in (*groups, *invented) for entity in group]
    assert len(names) == len(set(names))


def test_every_entity_has_all_its_relations_or_is_invented(world: World) -> None:
    for entity in world.entities.values():
        assert set(entity.values) == (set() if entity.status == "invented" else set(RELATIONS[entity.kind]))
        assert entity.name.isascii()
        assert len(entity.name.split()) <= 2


def test_what_is_known_does_not_depend_on_the_seed_and_what_is_invented_does(world: World) -> None:
    other = build_world(world.config, world.seed + 1)
    assert other.known == world.known
    assert other.invented_test != world.invented_test
    assert build_world(world.config, world.seed).invented_test == world.invented_test


def test_a_wrong_value_is_of_the_right_sort_and_wrong(world: World) -> None:
    draw = Draw(0, "test")
    for _ in range(200):
        value = world.wrong_value("capital", "Paris", draw)
        assert value != "Paris"
        assert value in world.values["capital"]


def test_more_than_the_almanac_has_is_an_error_that_says_so() -> None:
    with pytest.raises(InputError, match="ask for fewer"):
        build_world(AtlasConfig.model_construct(**{**AtlasConfig().model_dump(), "countries": 400}), 0)
