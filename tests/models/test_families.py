"""Every family against transformers: what it writes we read, what we write it reads, and both compute the same.

Sequences are longer than the sliding windows, and every parameter is shaken, so that none is forgotten unseen.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.attention import KVCache
from preceptor.models.checkpoint import load_language_model, load_scalar_model, write_model
from preceptor.models.families import family
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.training.scoring import packed_scores

VOCAB, CONTEXT, WINDOW = 50, 48, 6
LLAMA_3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 24}  # fmt: skip
SMALL = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 44, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": CONTEXT, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "rms_norm_eps": 1e-3,
}  # fmt: skip
GEMMA = SMALL | {"head_dim": 16, "sliding_window": WINDOW, "query_pre_attn_scalar": 11}
GEMMA |= {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
NEOX = {key: value for key, value in SMALL.items() if key not in ("num_key_value_heads", "rms_norm_eps")}
NEOX |= {"hidden_dropout": 0.0, "attention_dropout": 0.0, "classifier_dropout": 0.0}


def rotating(factor: float | None = None) -> dict[str, Any]:
    full = {"rope_type": "default", "rope_theta": 900.0}
    if factor is not None:
        full |= {"rope_type": "linear", "factor": factor}
    return {"full_attention": full, "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}}


THEIRS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama-3": ("Llama", SMALL | {"rope_parameters": LLAMA_3}),
    "llama-linear": ("Llama", SMALL | {"rope_parameters": {"rope_type": "linear", "rope_theta": 99.0, "factor": 3.0}}),
    "mistral": ("Mistral", SMALL | {"sliding_window": WINDOW, "head_dim": 12}),
    "mistral-0.3": ("Mistral", SMALL | {"sliding_window": None}),
    "qwen2": ("Qwen2", SMALL),
    "qwen2-windows": (
        "Qwen2",
        SMALL
        | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 2, "tie_word_embeddings": True},
    ),
    "qwen3": ("Qwen3", SMALL | {"head_dim": 12}),
    "gemma3": ("Gemma3", GEMMA | {"rope_parameters": rotating()}),
    "gemma3-linear": ("Gemma3", GEMMA | {"rope_parameters": rotating(8.0), "tie_word_embeddings": False}),
    "neox": ("GPTNeoX", NEOX | {"num_attention_heads": 2, "rotary_pct": 0.25}),
    "neox-serial": (
        "GPTNeoX",
        NEOX
        | {"use_parallel_residual": False, "rotary_pct": 1.0, "hidden_act": "gelu_new", "tie_word_embeddings": True},
    ),
}  # fmt: skip
WINDOWED = ("mistral", "qwen2-windows", "gemma3")


def near(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


def ids(batch: int = 3, time: int = 29, seed: int = 0) -> Tensor:
    return torch.randint(3, VOCAB, (batch, time), generator=torch.Generator().manual_seed(seed))


def shake(module: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        centre = parameter.data.mean() if parameter.ndim == 1 else 0.0
        parameter.data = centre + 0.2 * torch.randn(parameter.shape, generator=generator)


def their_model(name: str) -> Any:
    kind, shape = THEIRS[name]
    text = "Text" if kind == "Gemma3" else ""
    model = getattr(transformers, kind + "ForCausalLM")(getattr(transformers, f"{kind}{text}Config")(**shape))
    shake(model)
    return model.eval()


@pytest.fixture(params=THEIRS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def theirs(name: str) -> Any:
    return their_model(name)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Transformer]:
    """load(name): our decoder, read from what transformers wrote."""

    def make(name: str) -> Transformer:
        their_model(name).save_pretrained(tmp_path / name)
        return load_language_model(tmp_path / name)

    return make


@pytest.fixture
def ours(load: Callable[[str], Transformer], name: str) -> Transformer:
    return load(name)


def test_logits_agree(ours: Transformer, theirs: Any) -> None:
    with torch.no_grad():
        expected = theirs(ids()).logits
        assert expected.std() > 0.1
        near(ours(ids()), expected)


def test_every_parameter_comes_from_exactly_one_place(ours: Transformer) -> None:
    """The pieces cover ours without overlap: adapters and readers rely on it."""
    filled = {name: torch.zeros(len(parameter)) for name, parameter in ours.named_parameters() if "head" not in name}
    for piece in family(ours.config.family, "test").pieces(ours.config):
        filled[piece.ours][piece.rows] += 1
    assert all((count == 1).all() for count in filled.values())


def test_the_round_trip_is_exact_and_transformers_reads_it(ours: Transformer, theirs: Any, tmp_path: Path) -> None:
    write_model(ours, tmp_path)
    again = load_language_model(tmp_path)
    assert again.config == ours.config
    for (name, mine), (_, reread) in zip(ours.named_parameters(), again.named_parameters(), strict=True):
        torch.testing.assert_close(reread, mine, atol=6e-8, rtol=0, msg=name)  # a norm less 1 may lose its last bit
    read, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, dtype=torch.float32, output_loading_info=True
    )
    assert type(read) is type(theirs)
    assert not any(info.values()), info  # nothing missing, left over or of another shape
    with torch.no_grad():
        near(read.eval()(ids()).logits, theirs(ids()).logits)


def test_cached_greedy_generation_agrees(ours: Transformer, theirs: Any) -> None:
    prompts = [row[: 2 + 5 * i].tolist() for i, row in enumerate(ids(batch=5))]
    made = generate(ours, prompts, SamplingConfig(temperature=0, max_new_tokens=15), eos_id=2, pad_id=0)
    for prompt, (mine,) in zip(prompts, made, strict=True):
        row = torch.tensor([prompt])
        output = theirs.generate(row, attention_mask=torch.ones_like(row), do_sample=False, max_new_tokens=15)
        assert mine.ids == output[0, len(prompt) :].tolist()
        with torch.no_grad():
            table = ours(output)[0, len(prompt) - 1 : -1].log_softmax(-1)
        expected = table.gather(1, output[0, len(prompt) :, None])[:, 0]
        near(torch.tensor(mine.logprobs), expected)


def test_packed_segments_equal_one_by_one(ours: Transformer) -> None:
    pieces = [ids(1, time, seed)[0] for seed, time in enumerate((5, 1, 14, 9))]
    lengths = [*map(len, pieces), 3]
    packed = torch.cat([*pieces, torch.zeros(3, dtype=torch.int64)])[None]
    segments = torch.tensor([1, 2, 3, 4, 0]).repeat_interleave(torch.tensor(lengths))[None]
    with torch.no_grad():
        together = ours(packed, segments)
        assert together.isfinite().all()
        for piece, logits in zip(pieces, together[0].split(lengths), strict=False):
            near(logits, ours(piece[None])[0])


def test_padding_changes_no_logit(ours: Transformer) -> None:
    tokens = ids(batch=2, time=17)
    with torch.no_grad():
        plain = ours(tokens)
        for left, right in ((4, 0), (0, 5), (3, 2)):
            padded = torch.nn.functional.pad(tokens, (left, right))
            segments = torch.nn.functional.pad(torch.ones_like(tokens), (left, right))
            near(ours(padded, segments)[:, left : left + 17], plain)


def test_cached_passes_over_ragged_rows_equal_whole_ones(ours: Transformer) -> None:
    lengths, whole = [11, 3, 7], ids(3, 16)
    cache = KVCache.empty(ours.config, 3, 24, ours.embed.weight)
    with torch.no_grad():
        full = ours.hidden(whole)
        for row, length in enumerate(lengths):
            one = KVCache.empty(ours.config, 1, 24, ours.embed.weight)
            near(ours.hidden(whole[row : row + 1, :length], cache=one), full[row : row + 1, :length])
            cache.copy_rows(one, torch.tensor([0]), torch.tensor([row]), length)
        for step in range(4):
            fed = torch.stack([whole[row, length + step] for row, length in enumerate(lengths)])[:, None]
            hidden = ours.hidden(fed, cache=cache)[:, 0]
            near(hidden, torch.stack([full[row, length + step] for row, length in enumerate(lengths)]))


def test_responses_that_share_a_prompt_score_as_if_each_were_alone(ours: Transformer) -> None:
    model = ScalarModel(ours)
    shake(model.score)
    prompt = ids(1, 10, seed=5)[0].tolist()
    groups = [[prompt + ids(1, time, time)[0].tolist() for time in (9, 1, 4)], [ids(1, 13, 7)[0].tolist()]]
    with torch.no_grad():
        alone = torch.stack([model(torch.tensor([one]))[0, -1] for group in groups for one in group])
        near(packed_scores(model, groups, pad_id=0), alone)


def test_scores_survive_and_transformers_reads_them(ours: Transformer, name: str, tmp_path: Path) -> None:
    model = ScalarModel(ours)
    shake(model)
    model.score.bias.data.fill_(0.75)
    write_model(model.eval(), tmp_path)
    with torch.no_grad():
        scores = model(ids())
        near(load_scalar_model(tmp_path)(ids()), scores)
        if THEIRS[name][0] == "Gemma3":
            # transformers has no token classification of it, but a score at the last token, without the bias.
            read, info = transformers.AutoModelForSequenceClassification.from_pretrained(
                tmp_path, dtype=torch.float32, output_loading_info=True
            )
            assert {key: set(found) for key, found in info.items() if found} == {"unexpected_keys": {"score.bias"}}
            near(read.eval()(ids()).logits[:, 0] + 0.75, scores[:, -1])
        else:
            read, info = transformers.AutoModelForTokenClassification.from_pretrained(
                tmp_path, dtype=torch.float32, output_loading_info=True
            )
            assert not any(info.values()), info
            near(read.eval()(ids()).logits[..., 0], scores)


@pytest.mark.parametrize("windowed", WINDOWED)
def test_a_window_hides_what_lies_before_it(load: Callable[[str], Transformer], windowed: str) -> None:
    model, tokens = load(windowed), ids(1, 29)
    changed = tokens.clone()
    changed[0, 0] = (tokens[0, 0] + 1) % VOCAB
    layers = [model.config.window(layer) for layer in range(3)]
    with torch.no_grad():
        same = (model(tokens) == model(changed)).all(-1)[0]
    if None in layers:
        assert not same.any()
    else:  # what a token sees, it sees through three windows
        assert not same[: 3 * (WINDOW - 1) + 1].any()
        assert same[3 * (WINDOW - 1) + 1 :].all()


@pytest.mark.parametrize("windowed", WINDOWED)
def test_gradients_pass_through_windows_and_norms_of_heads(load: Callable[[str], Transformer], windowed: str) -> None:
    model, theirs = load(windowed), their_model(windowed)
    targets = ids(seed=3)
    model(ids()).log_softmax(-1).gather(2, targets[..., None]).mean().backward()
    theirs(ids()).logits.log_softmax(-1).gather(2, targets[..., None]).mean().backward()
    grads = {name: parameter.grad for name, parameter in theirs.model.named_parameters()}
    for piece in family(model.config.family, "test").pieces(model.config):
        mine, their = model.get_parameter(piece.ours).grad[piece.rows], grads[piece.theirs]
        torch.testing.assert_close(mine, their, atol=1e-5, rtol=1e-4, msg=piece.theirs)
