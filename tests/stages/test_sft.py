"""Supervised fine-tuning: the loss is on the assistant's words and ends alone."""

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch.nn import functional as F

from preceptor.errors import InputError
from preceptor.feedback.hygiene import part_of
from preceptor.files import write_jsonl
from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.checkpoint import load_language_model, save_model
from preceptor.models.compute import ComputeConfig
from preceptor.models.transformer import Transformer
from preceptor.stages import sft as module
from preceptor.stages.sft import SFTConfig, conversation_loss, conversation_losses, sft
from preceptor.stages.sft_checkpoints import Trial
from preceptor.text.conversation import Message, Rendered, render, render_prompt
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.progress import Progress

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(toy: Any, tmp_path: Path) -> Run:
    """run(**keys of the table): the stage from the toy's base model, into tmp_path / "out"; ``named``: its `reward`."""

    def call(
        out: str = "out",
        demonstrations: Path | None = None,
        corpus: bool = True,
        progress: Any = None,
        reward: Path | None = None,
        named: Path | None = None,
        token_budget: int = 400,
        **keys: Any,
    ) -> dict[str, Any]:
        return sft(
            SFTConfig(**toy.tables["sft"] | {"epochs": 2, "batch": 32, "reward": named} | keys),
            model=toy.base,
            demonstrations=demonstrations or toy.demonstrations,
            corpus=toy.corpus if corpus else None,
            reward=reward,
            out=tmp_path / out,
            seed=0,
            progress=progress or toy.progress,
            compute=ComputeConfig(token_budget=token_budget),
        )

    return call


@pytest.fixture
def conversations(tiny_tokenizer: Tokenizer) -> list[Rendered]:
    """Ragged, one with two answers."""

    def talk(*texts: str) -> Rendered:
        roles = ["user", "assistant"] * 2
        return render(tiny_tokenizer, [Message(role=role, content=text) for role, text in zip(roles, texts)])  # type: ignore[arg-type]  # noqa: B905

    return [talk("ann?", "bob."), talk("x", "ann likes bob."), talk("a", "b", "c?", "eve sees"), talk("who?", "no")]


def targets(batch: list[Rendered]) -> int:
    return sum(sum(one.mask) for one in batch)


def explicit_loss(model: Transformer, one: Rendered) -> torch.Tensor:
    """Cross-entropy of one conversation, by the book."""
    ids, mask = torch.tensor([one.ids]), torch.tensor(one.mask)
    return F.cross_entropy(model(ids)[0, :-1][mask[1:]], ids[0, 1:][mask[1:]], reduction="sum")


def test_fine_tuning_learns_and_holds_out(toy: Any) -> None:
    assert toy.sft
    metrics, summary = toy.metrics("sft"), toy.summaries["sft"]
    assert len(metrics) == summary["steps"] == round(summary["demonstrations"] * 16 / 16)
    assert metrics[-1]["demonstration_loss"] < 0.6 * metrics[0]["demonstration_loss"]
    heldout = [line["heldout_loss"] for line in metrics if "heldout_loss" in line]
    assert heldout[-1] == pytest.approx(summary["heldout_loss"], rel=1e-5)
    assert heldout[-1] < heldout[0]
    assert {"loss", "demonstration_loss", "pretrain_loss", "grad_norm", "lr_scale", "tokens"} <= set(metrics[0])
    first = metrics[0]
    assert first["loss"] == pytest.approx(first["demonstration_loss"] + 0.3 * first["pretrain_loss"], rel=1e-5)


def test_point_1_every_end_of_the_assistant_keeps_its_label(
    tiny_tokenizer: Tokenizer, conversations: list[Rendered], monkeypatch: pytest.MonkeyPatch, toy: Any
) -> None:
    seen: list[int] = []

    def spy(
        model: Any, ids: torch.Tensor, segments: torch.Tensor, target: torch.Tensor, noise_BT: None
    ) -> torch.Tensor:
        seen.extend(ids[:, 1:][target].tolist())
        assert not target[segments[:, 1:] == 0].any(), "padding is ignored"
        return torch.tensor(0.0)

    monkeypatch.setattr(module, "next_token_loss", spy)
    list(conversation_losses(None, conversations, tiny_tokenizer.pad_id, 2))  # type: ignore[arg-type]
    right = [i for one in conversations for i, on in zip(one.ids, one.mask, strict=True) if on]
    assert sorted(seen) == sorted(right), "every masked token is a target, once, and nothing else"
    assert seen.count(tiny_tokenizer.eos_id) == 5, "one end for each of the assistant's five turns"
    assert tiny_tokenizer.pad_id != tiny_tokenizer.eos_id
    assert tiny_tokenizer.pad_id not in seen


def test_point_1_the_fine_tuned_model_ends_its_answers(toy: Any) -> None:
    prompt = render_prompt(toy.text, [Message(role="user", content="Say cat 3")]).ids
    keys = {"eos_id": toy.text.eos_id, "pad_id": toy.text.pad_id, "samples_per_prompt": 20}
    (group,) = generate(load_language_model(toy.sft), [prompt], SamplingConfig(max_new_tokens=20), **keys)
    assert sum(one.finish_reason == "stop" for one in group) >= 16


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("token_budget", [1, 30, 4096])
def test_points_2_and_8_packing_gives_the_loss_of_one_by_one(
    tiny_model: Callable[..., Transformer], conversations: list[Rendered], family: str, token_budget: int
) -> None:
    model = tiny_model(family, max_position_embeddings=64)
    with torch.no_grad():
        packed = sum(conversation_losses(model, conversations, 0, token_budget))
        alone = sum(explicit_loss(model, one) for one in conversations)
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-4)
    mean = conversation_loss(model, conversations, 0, token_budget)
    assert mean == pytest.approx(float(alone) / targets(conversations), rel=1e-5)


def test_the_words_of_the_user_are_not_learnt(tiny_tokenizer: Tokenizer, tiny_model: Callable) -> None:
    """Under a model that ignores its input, only the answer decides the loss."""
    model = tiny_model()
    for block in model.blocks:
        block.attention.out.weight.data.zero_()  # no token hears of another

    def loss(user: str, assistant: str) -> float:
        talk = [Message(role="user", content=user), Message(role="assistant", content=assistant)]
        return conversation_loss(model, [render(tiny_tokenizer, talk)], 0, 1)

    assert loss("ann", "bob.") == pytest.approx(loss("xyz?", "bob."), rel=1e-6)
    assert loss("ann", "bob.") != pytest.approx(loss("ann", "eve."), rel=1e-3)


def test_point_12_gradients_do_not_depend_on_the_token_budget(run: Run, first_gradients: Callable) -> None:
    (whole,) = first_gradients(lambda: run("whole", batch=24, clip_norm=1e9, token_budget=10**6))
    for budget in (1, 90):
        (split,) = first_gradients(lambda n=budget: run(f"split{n}", batch=24, clip_norm=1e9, token_budget=n))
        assert set(split) == set(whole)
        for name, grad in split.items():
            torch.testing.assert_close(grad, whole[name], rtol=1e-4, atol=1e-6, msg=name)


def test_the_corpus_mix_adds_its_share_of_the_gradient(run: Run, first_gradients: Callable) -> None:
    none, half, two = (
        first_gradients(lambda coef=coef: run(f"mix{coef}", clip_norm=1e9, pretrain_coef=coef))[0]
        for coef in (0.0, 0.5, 2.0)
    )
    for name, grad in none.items():
        torch.testing.assert_close((two[name] - grad), 4 * (half[name] - grad), rtol=1e-3, atol=1e-5, msg=name)
    (without,) = first_gradients(lambda: run("without", corpus=False, clip_norm=1e9, pretrain_coef=2.0))
    assert all(torch.equal(grad, none[name]) for name, grad in without.items())


def test_a_long_conversation_is_truncated_and_counted(run: Run, tmp_path: Path, toy: Any) -> None:
    def talk(i: int, words: int) -> dict[str, Any]:
        return {
            "prompt_id": f"d{i}",
            "messages": [
                {"role": "user", "content": "ann " * words},
                {"role": "assistant", "content": "bob. " * words},
            ],
        }

    path = tmp_path / "long.jsonl"
    write_jsonl(path, [talk(i, 90 if i % 3 == 0 else 1) for i in range(12)])
    console = Console(file=io.StringIO(), width=200)
    summary = run(
        demonstrations=path, epochs=1, batch=4, heldout_share=0.0, corpus=False, progress=Progress(console=console)
    )
    assert summary["truncated"] == 4
    assert summary["demonstrations"] == 12, "none is dropped"
    assert "4 of 12 conversations were longer than 48 tokens and were truncated" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "heldout_loss" not in summary
    assert load_language_model(tmp_path / "out").embed.weight.isfinite().all()


def test_fewer_demonstrations_than_a_batch_still_get_all_their_epochs(
    run: Run, tmp_path: Path, lines: Callable
) -> None:
    path = tmp_path / "few.jsonl"
    talk = [{"role": "user", "content": "ann?"}, {"role": "assistant", "content": "bob."}]
    write_jsonl(path, [{"prompt_id": f"d{i}", "messages": talk} for i in range(5)])
    summary = run(demonstrations=path, epochs=6, batch=32, heldout_share=0.0)
    assert summary["steps"] == len(lines(tmp_path / "out/metrics.jsonl")) == 6


def overfitting(tmp_path: Path) -> Path:
    """Demonstrations whose answers nothing foretells: the longer they are learnt, the worse is the held-out loss."""
    r = random.Random(0)

    def talk(i: int) -> dict[str, Any]:
        words = " ".join("".join(r.choices("abcdefgh", k=4)) for _ in range(3))
        turns = [{"role": "user", "content": f"Say {i}"}, {"role": "assistant", "content": words}]
        return {"prompt_id": f"d{i}", "messages": turns}

    write_jsonl(tmp_path / "noise.jsonl", [talk(i) for i in range(16)])
    return tmp_path / "noise.jsonl"


NOISY: dict[str, Any] = {"epochs": 40, "batch": 8, "lr": 1e-2, "heldout_share": 0.3, "corpus": False, "keep": "best"}


def test_the_checkpoint_of_the_lowest_heldout_loss_is_kept(run: Run, tmp_path: Path, lines: Callable) -> None:
    summary = run(demonstrations=overfitting(tmp_path), **NOISY)
    metrics = lines(tmp_path / "out/metrics.jsonl")
    tried = {line["step"]: line["heldout_loss"] for line in metrics if "heldout_loss" in line}
    assert list(tried)[:3] == [2, 4, 6], "one at the end of each epoch"
    best = min(tried, key=lambda step: tried[step])
    assert best < summary["steps"], "the last is not the best here"
    assert summary["kept_step"] == best
    assert summary["heldout_loss"] == pytest.approx(tried[best], rel=1e-5)
    assert summary["kept"] == {"step": best, "heldout_loss": pytest.approx(tried[best])}
    early = run("early", demonstrations=overfitting(tmp_path), **NOISY | {"keep": "last"})
    assert "kept_step" not in early
    assert early["heldout_loss"] == pytest.approx(tried[max(tried)], rel=1e-5)


def test_a_reward_model_chooses_where_one_is_given(
    run: Run, tmp_path: Path, lines: Callable, toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = run(reward=toy.reward, epochs=3, max_new_tokens=12, keep="best")
    tried = {
        line["step"]: line["heldout_reward"]
        for line in lines(tmp_path / "out/metrics.jsonl")
        if "heldout_reward" in line
    }
    assert len(tried) == 3
    assert summary["kept"] == {"step": summary["kept_step"], "heldout_reward": max(tried.values())}
    assert tried[summary["kept_step"]] == max(tried.values())
    # One that likes the first checkpoint best has it, whatever the loss says.
    liked = iter([3.0, 2.0, 1.0])
    monkeypatch.setattr(Trial, "score", lambda self, model: next(liked))
    assert run("first", reward=toy.reward, epochs=3, keep="best")["kept_step"] == min(tried)
    liked = iter([3.0, 2.0, 1.0])
    assert run("named", named=toy.reward, epochs=3, keep="best")["kept_step"] == min(tried), "the recipe can name it"


def test_a_reward_model_that_cannot_choose_is_a_clear_error(
    run: Run, tmp_path: Path, toy: Any, tiny_scalar: Callable, tiny_tokenizer: Tokenizer
) -> None:
    with pytest.raises(InputError, match=r"no held-out prompt to choose the SFT model by; raise sft.heldout_share"):
        run(reward=toy.reward, heldout_share=0.0, keep="best")
    save_model(tiny_scalar(), tmp_path / "stranger", tiny_tokenizer)
    with pytest.raises(InputError, match="reads other tokens than the model writes"):
        run(reward=tmp_path / "stranger", keep="best")
    assert not (tmp_path / "out").exists()


def test_nothing_left_to_learn_from_is_a_clear_error(run: Run, tmp_path: Path) -> None:
    shares = {"train": 0.6, "heldout": 0.4}
    held_out = next(name for name in map(str, range(200)) if part_of(name, shares, 0) == "heldout")
    talk = [{"role": "user", "content": "ann?"}, {"role": "assistant", "content": "bob."}]
    write_jsonl(tmp_path / "one.jsonl", [{"prompt_id": held_out, "messages": talk}])
    with pytest.raises(InputError, match=r"holds out every demonstration; lower sft.heldout_share"):
        run(demonstrations=tmp_path / "one.jsonl", heldout_share=0.4)
    assert not (tmp_path / "out").exists()
