"""The fixed rule that chooses the prompts of the report."""

from typing import Any

from preceptor.reporting.examples import choose, rule

MODELS = ["base", "sft", "ppo"]


def rows(count: int, gains: dict[int, float], kinds: int = 3) -> list[dict[str, Any]]:
    """Answers of three models to each prompt; PPO gains what ``gains`` says, by default nothing."""
    found = []
    for number in range(count):
        for model in MODELS:
            row = {"part": "helpfulness", "prompt_id": f"p{number:02d}", "kind": f"kind{number % kinds}"}
            gold = gains.get(number, 0.0) if model == "ppo" else 0.0
            found.append(row | {"model": model, "text": model, "gold": gold, "reward": -gold, "messages": []})
    return found


def chosen(given: list[dict[str, Any]], score: str = "gold") -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for one in choose(given, MODELS, score):
        reasons.setdefault(one.why, []).append(one.prompt_id)
    return reasons


def test_ten_spread_then_the_extremes_of_the_others() -> None:
    gains = {20: 0.9, 21: 0.8, 22: -0.9, 23: -0.8, 0: 5.0}  # p00 is already there for its kind
    found = chosen(rows(40, gains))
    assert found["spread over kinds"] == [f"p{number:02d}" for number in range(10)]
    assert found["gains most"][:2] == ["p20", "p21"]
    assert found["loses most"][:2] == ["p22", "p23"]
    assert [len(ids) for ids in found.values()] == [10, 5, 5]


def test_the_order_of_the_file_does_not_matter() -> None:
    given = rows(40, {20: 0.9, 22: -0.9})
    assert chosen(given) == chosen(given[::-1])


def test_kinds_of_few_prompts_do_not_repeat() -> None:
    given = rows(12, {}, kinds=11)
    found = chosen(given)
    everyone = [prompt for ids in found.values() for prompt in ids]
    assert len(everyone) == len(set(everyone)) == 12


def test_the_reward_model_decides_where_there_is_no_gold() -> None:
    found = chosen(rows(40, {20: 0.9, 22: -0.9}), score="reward")
    assert found["gains most"][0] == "p22"
    without = [row | {"gold": None} for row in rows(40, {})]
    assert list(chosen(without)) == ["spread over kinds"]


def test_a_prompt_that_a_model_did_not_answer_is_left_out() -> None:
    given = [row for row in rows(11, {}) if (row["prompt_id"], row["model"]) != ("p00", "ppo")]
    assert "p00" not in [one.prompt_id for one in choose(given, MODELS, "gold")]
    assert choose([], MODELS, "gold") == []


def test_the_rule_is_told() -> None:
    words = rule(["Base", "SFT", "PPO"], "gold rubric")
    assert "PPO gains most over SFT by the gold rubric" in words
    assert "gains" not in rule(["SFT"], "gold rubric")
