"""A recipe says all of a run, and a mistake in it is named at once."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.recipe import Recipe, built_in, describe_keys, walk


def refusal(*overrides: str, recipe: str | Path = "smoke") -> str:
    with pytest.raises(InputError) as caught:
        Recipe.load(recipe, list(overrides))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", built_in())
def test_a_built_in_recipe_is_valid_and_bears_its_name(name: str) -> None:
    assert Recipe.load(name).name == name


def test_the_named_recipes_exist() -> None:
    assert {"quickstart", "smoke", "human", "smollm2"} <= set(built_in())


@pytest.mark.parametrize("name", built_in())
def test_what_is_written_reads_back_equal(name: str) -> None:
    recipe = Recipe.load(name, ['data.text=["a \\"b\\".txt", "c"]', "rank.file=x/y.jsonl"])
    assert Recipe.from_table(tomllib.loads(recipe.to_toml())) == recipe


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_survives_writing_and_reading(text: str) -> None:
    recipe = Recipe(name=text)
    assert Recipe.from_table(tomllib.loads(recipe.to_toml())) == recipe


def test_overrides_are_toml_and_fall_back_to_text(tmp_path: Path) -> None:
    recipe = Recipe.load(
        "smoke", ["ppo.kl_coef=0.25", "seed = 7", "model.family=gpt2", 'name="2024"', "model.num_key_value_heads=2"]
    )
    assert recipe.ppo.kl_coef == 0.25
    assert recipe.seed == 7
    assert recipe.model.family == "gpt2"
    assert recipe.name == "2024"


def test_the_last_override_holds() -> None:
    assert Recipe.load("smoke", ["seed=1", "seed=2"]).seed == 2


def test_a_file_is_named_after_itself(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[ppo]\nkl_coef = 0.5\n")
    recipe = Recipe.load(tmp_path / "mine.toml")
    assert (recipe.name, recipe.ppo.kl_coef) == ("mine", 0.5)


@pytest.mark.parametrize(
    ("override", "key", "near"),
    [
        ("ppo.klcoef=1", "ppo.klcoef", "ppo.kl_coef"),
        ("sft.kl_coef=1", "sft.kl_coef", "ppo.kl_coef"),
        ("kl_coef=1", "kl_coef", "ppo.kl_coef"),
        ("pppo.kl_coef=1", "pppo", "ppo"),
        ("sed=1", "sed", "seed"),
        ("data.atlas.country=3", "data.atlas.country", "data.atlas.countries"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(override: str, key: str, near: str) -> None:
    message = refusal(override)
    assert f"unknown key {key};" in message
    assert f"did you mean {near}?" in message


def test_an_unknown_key_like_no_other_still_gets_a_neighbour() -> None:
    assert "did you mean ppo." in refusal("ppo.qqq=1")


def test_an_unknown_key_comes_before_a_wrong_value() -> None:
    assert "unknown key ppo.klcoef" in refusal("seed=-1", "ppo.klcoef=1")


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ('seed="5"', ["seed", '"5"', "whole number"]),
        ("seed=1.5", ["seed", "1.5", "whole number"]),
        ("seed=true", ["seed", "true", "whole number"]),
        ("seed=-1", ["seed", "-1", "greater than or equal to 0"]),
        ("ppo.kl_coef=low", ["ppo.kl_coef", '"low"', "number"]),
        ("ppo.kl_coef=nan", ["ppo.kl_coef", "finite number"]),
        ("model.family=bert", ["model.family", '"bert"', "llama"]),
        ("model.num_attention_heads=3", ["model", "multiple of num_attention_heads"]),
        ("data.text=[1]", ["data.text", "1"]),
        (
            'lora.targets=["lm_head"]',
            ["lora: targets names lm_head, but embeddings and heads get no adapters;", "all-linear"],
        ),
        ('lora.targets=["q_proj", "model.embed_tokens"]', ["targets names model.embed_tokens", "inside the blocks"]),
        ("name=5", ["name", "5", "string"]),
        ("ppo=3", ["ppo", "table", "[ppo]"]),
        ("seed.x=3", ["seed"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_wanted(override: str, parts: list[str]) -> None:
    message = refusal(override)
    for part in parts:
        assert part in message


@pytest.mark.parametrize("override", ["seed", "=3", ".seed=3", "ppo..x=3"])
def test_an_override_without_key_or_value_is_refused(override: str) -> None:
    assert "KEY=VALUE" in refusal(override)


def test_an_unknown_recipe_names_those_that_exist() -> None:
    message = refusal(recipe="quikstart")
    assert "did you mean quickstart?" in message
    assert "smoke" in message


def test_a_missing_or_malformed_file_is_named(tmp_path: Path) -> None:
    assert "none.toml: no such file" in refusal(recipe=tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("seed = = 3\n")
    message = refusal(recipe=tmp_path / "bad.toml")
    assert "bad.toml: not valid TOML" in message
    assert "line 1" in message


def test_every_key_says_what_it_means() -> None:
    assert [name for name, field in walk(Recipe) if not field.description] == []


def test_docs_list_every_key_as_it_is() -> None:
    written = Path(__file__).parent.parent / "docs" / "recipe-keys.md"
    assert written.read_text(encoding="utf-8") == describe_keys(), "run `python tools/recipe_keys.py`"
