"""The three models beside each other: equal sizes, what each is taught, the whole recipe once, and its page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.evaluation.fill_in import Blank, choose_blank, fill_in
from preceptor.keyed import torch_rng
from preceptor.models.attention_maps import attention_of
from preceptor.models.checkpoint import load_language_model
from preceptor.models.config import ModelConfig
from preceptor.models.lstm import load_lstm
from preceptor.models.transformer import Transformer
from preceptor.recipe import Recipe
from preceptor.run import run
from preceptor.stages import foundations as stage
from preceptor.stages.copying import repeating_rows
from preceptor.stages.foundations import FoundationsConfig, foundations, new_networks
from preceptor.stages.pretrain import count
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.loop import CHECKPOINT
from preceptor.training.progress import Progress
from preceptor.verbs import STAGES, stage_function

SMALL = FoundationsConfig(
    tokens=48 * 16 * 12,
    batch_rows=16,
    copy_tokens=64 * 8 * 5,
    copy_batch_rows=8,
    copy_alphabet=32,
    heldout_rows=8,
    copies=4,
    resamples=20,
    optimizer="adamw",
)
SETS = [
    "data.atlas.countries=20",
    "data.atlas.elements=10",
    "data.atlas.withheld_countries=4",
    "data.atlas.withheld_elements=2",
    "data.atlas.invented_names=20",
    "data.atlas.documents=300",
    "data.atlas.heldout_documents=20",
    "data.atlas.truthfulness_known=10",
    "data.atlas.truthfulness_invented=5",
    "data.atlas.harmlessness_prompts=6",
    "data.atlas.train_prompts=40",
    "data.atlas.dev_prompts=20",
    "data.atlas.heldout_prompts=20",
    "data.atlas.demonstrations=20",
    "tokenizer.vocab_size=400",
    "model.hidden_size=16",
    "model.intermediate_size=32",
    "model.num_hidden_layers=2",
    "model.num_attention_heads=2",
    "model.num_key_value_heads=2",
    "model.max_position_embeddings=32",
    "foundations.tokens=4000",
    "foundations.heldout_rows=16",
    "foundations.copies=4",
    "foundations.copy_tokens=2000",
    "foundations.copy_batch_rows=8",
    "foundations.resamples=20",
]


def inputs(toy: Any) -> dict[str, Any]:
    return {"model": toy.shape, "corpus": toy.corpus, "heldout": toy.heldout, "tokenizer": toy.tokenizer}


@pytest.mark.parametrize("shape", [{}, {"hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 3}])
def test_the_three_are_of_one_size(toy: Any, shape: dict[str, int]) -> None:
    networks = new_networks(SMALL, ModelConfig(**toy.shape.model_dump() | shape), toy.text, seed=0)
    sizes = {name: count(network) for name, network in networks.items()}
    assert sizes["causal"] == sizes["masked"]
    assert abs(sizes["lstm"] / sizes["causal"] - 1) < 0.02


def test_rows_repeat_themselves_and_depend_on_their_step_alone() -> None:
    alphabet = list(range(100, 132))
    rows = repeating_rows(40, alphabet, 1, seed=0, step=3)
    assert rows.shape == (40, 64)
    assert torch.equal(rows, repeating_rows(40, alphabet, 1, seed=0, step=3))
    assert not torch.equal(rows, repeating_rows(40, alphabet, 1, seed=0, step=4))
    found = []
    for first, *rest in rows.tolist():
        assert first == 1 and set(rest) <= set(alphabet)
        found.append(next(distance for distance in range(1, 32) if rest[distance:] == rest[:-distance]))
    assert min(found) == 4 and max(found) > 20 and sum(distance < 11 for distance in found) > 10


def test_the_masked_loss_is_of_hidden_tokens_alone(toy: Any) -> None:
    network = new_networks(SMALL, toy.shape, toy.text, seed=0)["masked"]
    ids = torch.randint(7, 250, (4, 48), generator=torch_rng(0, "ids"))
    loss = stage._loss(SMALL, "masked", network, ids, toy.text, torch_rng(0, "mask"))
    hidden, chosen = stage.mask_tokens(ids, torch.ones_like(ids), SMALL.masked_share, toy.text, torch_rng(0, "mask"))
    expected = torch.nn.functional.cross_entropy(network(hidden)[chosen], ids[chosen])
    torch.testing.assert_close(loss, expected)


def test_a_stage_that_was_stopped_ends_in_the_same_weights(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the second model, with a checkpoint at every step: the first is not trained again."""
    whole = foundations(SMALL, **inputs(toy), out=tmp_path / "whole", seed=0, progress=toy.progress)
    train, optimize, taken = stage.train, stage.optimize, [0]
    monkeypatch.setattr(stage, "train", lambda *a, **k: train(*a, **k, checkpoint_seconds=0))

    def stopping(*arguments: Any, **keys: Any) -> Any:
        taken[0] += 1
        if taken[0] == 12 + 7:
            raise KeyboardInterrupt
        return optimize(*arguments, **keys)

    monkeypatch.setattr(stage, "optimize", stopping)
    with pytest.raises(KeyboardInterrupt):
        foundations(SMALL, **inputs(toy), out=tmp_path / "parts", seed=0, progress=toy.progress)
    assert (tmp_path / "parts/causal" / CHECKPOINT).exists()
    monkeypatch.undo()
    again = foundations(SMALL, **inputs(toy), out=tmp_path / "parts", seed=0, progress=toy.progress)
    for name in ("lstm", "causal", "masked", "copies/lstm", "copies/causal"):
        one, other = (tmp_path / part / name / "model.safetensors" for part in ("whole", "parts"))
        assert one.read_bytes() == other.read_bytes(), name
        assert not (tmp_path / "parts" / name / CHECKPOINT).exists()
    assert again["by_position"] == whole["by_position"] and again["copies"] == whole["copies"]


def test_too_little_text_and_too_large_an_alphabet_are_clear_errors(toy: Any, tmp_path: Path) -> None:
    rest = {"out": tmp_path / "out", "seed": 0, "progress": toy.progress}
    with pytest.raises(InputError, match="copy_alphabet 5000: the vocabulary has"):
        foundations(SMALL.model_copy(update={"copy_alphabet": 5000}), **inputs(toy), **rest)
    (tmp_path / "short.jsonl").write_text('{"text": "ann likes bob."}\n')
    with pytest.raises(InputError, match=r"short\.jsonl: fills fewer than two rows"):
        foundations(SMALL, **inputs(toy) | {"heldout": tmp_path / "short.jsonl"}, **rest)
    assert not (tmp_path / "out").exists()


# the blank ---------------------------------------------------------------------------------------


def test_a_blank_is_a_whole_word_inside_a_whole_sentence(tiny_tokenizer: Tokenizer) -> None:
    text = Tokenizer.train(["the capital of this country is large. "] * 30, 320)
    sentence = text.encode("the capital of this country is large.")
    row = [*text.encode("and so on. "), *sentence, *text.encode(" it is")]
    blank = choose_blank(torch.tensor([row]), text)
    assert text.decode(blank.ids).strip() == "the capital of this country is large."
    assert text.decode([blank.ids[blank.at]]) in (" capital", " country")
    rows = torch.randint(7, 250, (1, 40), generator=torch_rng(0, "ids"))
    rows[rows == tiny_tokenizer.encode(".")[0]] = 8
    assert choose_blank(rows, tiny_tokenizer) == Blank(rows[0, :8].tolist(), 4), "no sentence at all"


def test_the_blank_is_filled_from_the_left_or_from_both_sides(
    tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer
) -> None:
    causal, masked = tiny_model(), tiny_model(causal=False)
    ids = tiny_tokenizer.encode("ann likes bob. dan sees eve.")
    ends = {"same": ids, "other": [*ids[:-1], ids[0]]}
    told = {
        name: fill_in({"causal": causal}, masked, Blank(one, 3), tiny_tokenizer)["guesses"]
        for name, one in ends.items()
    }
    assert told["same"]["causal"] == told["other"]["causal"]
    assert told["same"]["masked"] != told["other"]["masked"]
    with torch.no_grad():
        chances = causal(torch.tensor([[tiny_tokenizer.bos_id, *ids[:3]]]))[0, -1].softmax(-1)
    top = chances.topk(5)
    assert told["same"]["causal"]["probabilities"] == pytest.approx(top.values.tolist(), abs=1e-6)
    assert told["same"]["causal"]["words"] == [tiny_tokenizer.decode([int(i)]) for i in top.indices]
    assert told["same"]["causal"]["true_word"] == pytest.approx(float(chances[ids[3]]), rel=1e-5)


def test_the_maps_that_are_stored_are_rows_of_shares(
    tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer
) -> None:
    seen = attention_of(tiny_model(), tiny_tokenizer.encode("ann likes bob."), tiny_tokenizer)
    maps = torch.tensor(seen["maps"])
    assert maps.shape == (2, 4, len(seen["tokens"]), len(seen["tokens"]))
    torch.testing.assert_close(maps.sum(-1), torch.ones(maps.shape[:-1]), atol=2e-3, rtol=0)
    assert seen["tokens"][0] == "begin"


# the recipe --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("foundations") / "run"
    stages = {name: stage_function(name) for name in STAGES}
    run(Recipe.load("foundations", SETS), out, Progress(quiet=True), stages)
    return out


def test_the_recipe_trains_measures_and_reports(finished: Path) -> None:
    results = json.loads((finished / "foundations/foundations.json").read_text())
    assert set(results["parameters"]) == {"lstm", "causal", "masked"}
    assert [row["first"] for row in results["by_position"]] == [1, 2, 4, 8, 16]
    assert [row["distance"] for row in results["copies"]] == [4, 8, 16, 31]
    assert [row["length"] for row in results["by_length"]] == [2, 4, 8, 16]
    assert all(speed > 0 for speed in results["tokens_per_second"].values())
    for guess in results["fill_in"]["guesses"].values():
        assert len(guess["words"]) == 5
        assert guess["probabilities"] == sorted(guess["probabilities"], reverse=True)
    assert load_lstm(finished / "foundations/lstm").config.max_position_embeddings == 32
    assert load_language_model(finished / "foundations/causal").config.causal
    assert not load_language_model(finished / "foundations/masked").config.causal
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["foundations"]["by_position"] == results["by_position"]
    assert "ppo" not in summary
    page = (finished / "report.html").read_text()
    for words in ("LSTM and attention", "One blank, three models", "layer 2, head 2", "LSTM − transformer"):
        assert words in page
    assert page.count("<svg") >= 5


def test_a_finished_run_is_left_as_it_is_and_shows_its_table(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "foundations/foundations.json").stat().st_mtime_ns
    sets = [word for key in SETS for word in ("--set", key)]
    assert main(["run", "foundations", "--out", str(finished), "--quiet", "--threads", "1", *sets]) == 0
    assert (finished / "foundations/foundations.json").stat().st_mtime_ns == before
    shown = capsys.readouterr().out
    assert "LSTM and transformers of one size" in shown
    assert "attention --model" in shown
    assert "chat" not in shown


@pytest.mark.parametrize(
    ("key", "says"),
    [("model.start=gpt2.gguf", "trains its models from nothing"), ("data.source=files", "data.text names no file")],
)
def test_what_the_recipe_has_no_use_for_is_refused(tmp_path: Path, key: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        run(Recipe.load("foundations", [*SETS, key]), tmp_path / "run", Progress(quiet=True), {})
    assert not (tmp_path / "run").exists()


def test_attention_is_drawn_from_the_command_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = str(finished / "foundations/causal"), tmp_path / "map.svg"
    assert main(["attention", "--model", model, "the <b> & it", "--out", str(out)]) == 0
    drawn = out.read_text()
    assert drawn.startswith('<?xml version="1.0"')
    assert "layer 2, head 2" in drawn
    assert "<b>" not in drawn
    assert "var(--ink)" in drawn and "--ink:" in drawn
    assert "2 layers of 2 heads" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "says"), [("  ", "the text is empty"), ("word " * 200, "shorten it")])
def test_texts_that_cannot_be_drawn(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    out = tmp_path / "map.svg"
    assert main(["attention", "--model", str(finished / "foundations/causal"), text, "--out", str(out)]) == 2
    assert says in capsys.readouterr().err
    assert not out.exists()
