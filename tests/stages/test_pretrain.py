"""Pretraining, causal and masked, on the toy world."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.files import write_jsonl
from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.keyed import torch_rng
from preceptor.models.checkpoint import load_language_model
from preceptor.stages.pretrain import PretrainConfig, mask_tokens, pretrain
from preceptor.text.tokenizer import MASK_ID, SPECIALS, Tokenizer
from preceptor.training.loop import CHECKPOINT

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(toy: Any, tmp_path: Path) -> Run:
    """run(**keys of the table): the stage on the toy corpus, into tmp_path / "out"."""

    def call(out: str = "out", corpus: Path | None = None, seed: int = 0, **keys: Any) -> dict[str, Any]:
        return pretrain(
            PretrainConfig(**toy.tables["pretrain"] | keys),
            model=toy.shape,
            corpus=corpus or toy.corpus,
            heldout=toy.heldout,
            tokenizer=toy.tokenizer,
            out=tmp_path / out,
            seed=seed,
            progress=toy.progress,
        )

    return call


def test_causal_pretraining_learns_and_leaves_a_model(toy: Any) -> None:
    model, summary, metrics = load_language_model(toy.base), toy.summaries["base"], toy.metrics("base")
    assert model.config.causal
    assert summary["steps"] == len(metrics) == math.ceil(72_000 / (16 * 48))
    assert summary["tokens"] == summary["steps"] * 16 * 48
    assert metrics[-1]["loss"] < 0.5 * metrics[0]["loss"]
    assert metrics[0]["loss"] == pytest.approx(math.log(toy.text.vocab_size), rel=0.05), "nothing known at the start"
    heldout = [line["heldout_loss"] for line in metrics if "heldout_loss" in line]
    assert len(heldout) >= 10
    assert heldout[-1] < heldout[0]
    assert summary["heldout_perplexity"] == pytest.approx(math.exp(heldout[-1]), rel=1e-6)
    assert {"loss", "grad_norm", "lr_scale", "tokens", "tokens_per_second"} <= set(metrics[0])
    assert not (toy.base / CHECKPOINT).exists()


def test_point_1_the_pretrained_model_has_learnt_to_end(toy: Any) -> None:
    """EOS keeps its label in the corpus: it comes after a sentence, and nowhere else."""
    model = load_language_model(toy.base)
    ids = [toy.text.bos_id, *toy.text.encode("ann likes bob.")]
    with torch.no_grad():
        ending = model(torch.tensor([ids]))[0].softmax(-1)[:, toy.text.eos_id]
    assert ending[-1] > 0.1
    assert ending[:-1].max() < 0.3 * ending[-1]


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_point_12_gradients_do_not_depend_on_micro_rows(run: Run, first_gradients: Callable, objective: str) -> None:
    """The corpus' last row is part padding, so micro-batches hold unlike numbers of trained tokens."""
    keys = {"objective": objective, "batch_rows": 200, "clip_norm": 1e9}
    (whole,) = first_gradients(lambda: run("whole", micro_rows=200, **keys))
    for micro_rows in (7, 64):
        (split,) = first_gradients(lambda rows=micro_rows: run(f"split{rows}", micro_rows=rows, **keys))
        assert set(split) == set(whole)
        for name, grad in split.items():
            torch.testing.assert_close(grad, whole[name], rtol=1e-4, atol=1e-6, msg=name)


def test_the_seed_makes_the_weights(run: Run, tmp_path: Path) -> None:
    keys = {"tokens": 48 * 8 * 3, "batch_rows": 8}
    run("a", **keys)
    run("b", micro_rows=8, **keys)
    run("c", seed=1, **keys)
    files = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert files["a"] == files["b"]
    assert files["a"] != files["c"]


def test_documents_may_see_their_row(run: Run, first_gradients: Callable) -> None:
    alone, together = (
        first_gradients(lambda flag=flag: run(str(flag), batch_rows=8, isolate_documents=flag))[0]
        for flag in (True, False)
    )
    assert not torch.allclose(alone["blocks.0.attention.qkv.weight"], together["blocks.0.attention.qkv.weight"])


def test_a_corpus_without_text_is_a_clear_error(run: Run, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "empty.jsonl", [{"text": ""}])
    with pytest.raises(InputError, match="holds no text"):
        run(corpus=tmp_path / "empty.jsonl")
    assert not (tmp_path / "out").exists()


# masked ------------------------------------------------------------------------------------------


def test_masked_pretraining_learns_to_fill_in(toy: Any, run: Run, tmp_path: Path, lines: Callable) -> None:
    summary = run(objective="masked", tokens=30_000, batch_rows=16, masked_share=0.25)
    metrics = lines(tmp_path / "out/metrics.jsonl")
    first, last = (sum(line["loss"] for line in part) / 5 for part in (metrics[:5], metrics[-5:]))
    assert last < 0.7 * first
    assert "heldout_perplexity" not in summary, "a masked model has no perplexity of a text"
    model = load_language_model(tmp_path / "out")
    assert not model.config.causal
    ids = torch.tensor([[1, *toy.text.encode("ann likes bob. dan sees eve."), 2]])
    (stop,) = toy.text.encode(".")
    hidden = ids.clone()
    hidden[0, ids[0].tolist().index(stop)] = MASK_ID
    with torch.no_grad():
        guess = model(hidden)[0, ids[0].tolist().index(stop)].softmax(-1)
    assert guess.argmax() == stop
    with pytest.raises(InputError, match="both directions"):
        generate(model, [[1]], SamplingConfig(), eos_id=2, pad_id=0)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), share=st.floats(0.001, 0.999), rows=st.integers(1, 4), data=st.data())
def test_masks_hide_ordinary_tokens_alone(
    tiny_tokenizer: Tokenizer, seed: int, share: float, rows: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(SPECIALS)))
    ids = torch.randint(first, tiny_tokenizer.vocab_size, (rows, 20), generator=torch_rng(seed, "ids"))
    segments = (torch.arange(20) < data.draw(st.integers(1, 20))).long().expand(rows, 20)
    changed, chosen = mask_tokens(ids, segments, share, tiny_tokenizer, torch_rng(seed, "mask"))
    ordinary = (segments != 0) & (ids >= len(SPECIALS))
    assert not (chosen & ~ordinary).any()
    assert chosen.any() or not ordinary.any(), "no batch is without a trained token"
    assert torch.equal(changed[~chosen], ids[~chosen])
    hidden = changed[chosen]
    assert ((hidden == MASK_ID) | (hidden >= len(SPECIALS))).all(), "no special token but the mask is put in"
    again, same = mask_tokens(ids, segments, share, tiny_tokenizer, torch_rng(seed, "mask"))
    assert torch.equal(again, changed)
    assert torch.equal(same, chosen)


def test_masks_have_berts_shares(tiny_tokenizer: Tokenizer) -> None:
    ids = torch.randint(7, tiny_tokenizer.vocab_size, (400, 100), generator=torch_rng(0, "ids"))
    changed, chosen = mask_tokens(ids, torch.ones_like(ids), 0.15, tiny_tokenizer, torch_rng(0, "mask"))
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.01)
    before, after = ids[chosen], changed[chosen]
    assert (after == MASK_ID).float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert (after == before).float().mean().item() == pytest.approx(0.1, abs=0.015)
    rest = (after != MASK_ID) & (after != before)
    assert rest.float().mean().item() == pytest.approx(0.1, abs=0.015)
    assert after[rest].unique().numel() > 200, "any ordinary token may come"
