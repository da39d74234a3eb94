"""One world of the default size and its prompts, shared by all tests here. Nothing is trained."""

import pytest

from preceptor.atlas.facts import World, build_world
from preceptor.atlas.prompts import Asked, build_prompts
from preceptor.atlas.settings import AtlasConfig

SEED = 3


@pytest.fixture(scope="session")
def world() -> World:
    return build_world(AtlasConfig(), SEED)


@pytest.fixture(scope="session")
def prompts(world: World) -> dict[str, list[Asked]]:
    return build_prompts(world, world.config, SEED)
