"""The card of a model says what provenance and evaluation say, and nothing in it can pass for markup."""

from preceptor.files import write_json
from preceptor.reporting.card import CARD, model_card, write_card

PROVENANCE = {
    "stage": "ppo",
    "recipe": "mine",
    "config": {"kl_coef": 0.02, "lr": 1e-3},
    "lora": {"rank": 4},
    "seed": 3,
    "parents": {"model": {"path": "../sft", "sha256": "ab" * 32}},
    "data": {"prompts": {"path": "../a`b|<script>\nx.jsonl", "sha256": "cd" * 32}},
    "code": {"version": "0.1", "commit": "f" * 40, "modified": True},
    "libraries": {"torch": "2"},
    "machine": "Linux",
    "summary": {"episodes": 64, "kept": {"score": 0.51234}},
}
WON = {"win_rate": 0.625, "low": 0.5, "high": 0.75, "n": 40}


def test_a_card_names_parents_data_settings_and_results():
    card = model_card(PROVENANCE, {"judge": "gold", "helpfulness": {"ppo_vs_sft": WON}})
    assert card.startswith(
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- preceptor\n- ppo\n"
    )
    for part in (
        "`../sft`",
        "`" + "ab" * 8 + "`",
        "seed 3",
        "with changes",
        "| `kl_coef` | `0.02` |",
        "| `lora.rank` |",
    ):
        assert part in card
    assert "| `kept.score` | 0.5123 |" in card
    assert "Judged by the gold rubric" in card and "| PPO over SFT | 62.5 % [50.0, 75.0] | 40 |" in card


def test_a_name_from_outside_stays_in_its_code_span():
    assert "`../a'b|<script> x.jsonl`" in model_card(PROVENANCE, {})


def test_a_model_that_was_not_measured_has_no_results():
    assert "## What was measured" not in model_card(PROVENANCE, {})


def test_a_reward_model_is_called_one():
    card = model_card(PROVENANCE | {"stage": "reward"}, {})
    assert "# Reward model by Preceptor, recipe `mine`" in card and "pipeline_tag: text-classification" in card
    assert "preceptor chat" not in card


def test_only_a_directory_with_weights_gets_a_card(tmp_path):
    write_json(tmp_path / "provenance.json", PROVENANCE)
    write_card(tmp_path)
    assert not (tmp_path / CARD).exists()
    (tmp_path / "model.safetensors").write_bytes(b"")
    write_card(tmp_path)
    assert "Language model by Preceptor" in (tmp_path / CARD).read_text()
