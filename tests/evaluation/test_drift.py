"""Gains over the SFT model."""

import pytest

from preceptor.evaluation.drift import drifts


def test_gains_are_paired_and_measured_in_deviations_of_sft() -> None:
    rewards = {"base": [9.0, 9.0], "sft": [0.0, 2.0], "ppo": [1.0, 3.0]}
    found = drifts(rewards, {"sft": [0.0, 0.0], "ppo": [-1.0, 0.0]}, {"sft": [2, 4], "ppo": [4, 8]}, 0, 200)
    assert set(found) == {"ppo"}
    gain = found["ppo"]["reward_gain"]
    assert (gain["mean"], gain["low"], gain["high"], gain["n"]) == (1.0, 1.0, 1.0, 2), "alike on both prompts"
    assert gain["deviations"] == pytest.approx(1.0)
    assert found["ppo"]["check_gain"]["mean"] == -0.5
    assert found["ppo"]["check_gain"]["deviations"] is None, "the second model gives every SFT answer the same"
    assert found["ppo"]["length_ratio"] == {"ratio": 2.0, "low": 2.0, "high": 2.0, "n": 2}


def test_without_a_second_reward_model_there_is_no_second_gain() -> None:
    found = drifts({"sft": [0.0, 2.0], "ppo_round_1": [1.0, 3.0]}, {}, {"sft": [1, 1], "ppo_round_1": [1, 1]}, 0, 100)
    assert set(found["ppo_round_1"]) == {"reward_gain", "length_ratio"}
