"""Device, dtype and length of the models of a run."""

import copy
from collections.abc import Callable
from functools import partialmethod

import pytest
import torch
from torch import nn

from preceptor.errors import InputError
from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.compute import ComputeConfig, compile_blocks, place
from preceptor.models.heads import ScalarModel
from preceptor.models.transformer import Transformer
from preceptor.training.corpus import next_token_loss, next_token_mask

IDS = torch.arange(7, 27).view(2, 10)


def loss_of(model: Transformer) -> torch.Tensor:
    segments = torch.ones_like(IDS)
    return next_token_loss(model, IDS, segments, next_token_mask(segments))


@pytest.mark.parametrize(("max_length", "context"), [(None, 32), (12, 12), (4096, 32)])
def test_a_run_uses_no_more_than_its_longest_length(
    tiny_model: Callable[..., Transformer], max_length: int | None, context: int
) -> None:
    model = place(tiny_model(), ComputeConfig(max_length=max_length))
    assert model.context == context
    assert copy.deepcopy(model).context == context
    assert model.config.max_position_embeddings == 32, "which is what is saved"
    (group,) = generate(model, [[1, 4, 9]], SamplingConfig(max_new_tokens=100), eos_id=None, pad_id=0)
    assert len(group[0].prompt) + len(group[0].ids) == context


def test_weights_in_16_bits_leave_positions_and_the_scalar_head_in_32(tiny_scalar: Callable[..., ScalarModel]) -> None:
    model = tiny_scalar(bias=0.123456)
    before = model(IDS)
    place(model, ComputeConfig(dtype="bfloat16"))
    assert {parameter.dtype for parameter in model.trunk.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in model.buffers() if buffer.is_floating_point()} == {torch.float32}
    assert model.trunk.head.weight is model.trunk.embed.weight
    assert model.score.bias.item() == pytest.approx(0.123456, abs=1e-8)
    after = model(IDS)
    assert after.dtype == torch.float32
    torch.testing.assert_close(after, before, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_model_in_16_bits_trains(tiny_model: Callable[..., Transformer], family: str) -> None:
    whole, half = tiny_model(family), place(tiny_model(family), ComputeConfig(dtype="bfloat16"))
    for model in (whole, half):
        loss_of(model).backward()
    for (name, mine), theirs in zip(half.named_parameters(), whole.parameters(), strict=True):
        assert mine.grad is not None and theirs.grad is not None
        assert mine.grad.dtype == torch.bfloat16
        gap = (mine.grad.float() - theirs.grad).norm() / theirs.grad.norm()
        assert gap < 0.05, name


def test_what_this_machine_lacks_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert ComputeConfig().torch_device() == torch.device("cpu")
    assert ComputeConfig().torch_dtype() == torch.float32
    for device in ("cuda", "mps"):
        with pytest.raises(InputError, match=f'compute.device = "{device}": this torch finds no such device'):
            ComputeConfig(device=device).torch_device()  # type: ignore[arg-type]


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_takes_the_gpu_and_16_bits_where_they_are_native(
    monkeypatch: pytest.MonkeyPatch, native: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert ComputeConfig().torch_device().type == "cuda"
    assert ComputeConfig().torch_dtype() == dtype
    assert ComputeConfig(device="cpu").torch_dtype() == torch.float32, "however fast this CPU may be"
    assert ComputeConfig(dtype="float32").torch_dtype() == torch.float32


def test_compiled_blocks_keep_names_and_results(
    tiny_model: Callable[..., Transformer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torch's own front and no code generation, which takes a minute and a compiler."""
    plain, model = tiny_model(), tiny_model()
    compile_blocks(model, ComputeConfig())
    assert all(block._compiled_call_impl is None for block in model.blocks), "off by default"
    monkeypatch.setattr(nn.Module, "compile", partialmethod(_compile, nn.Module.compile))
    compile_blocks(model, ComputeConfig(compile=True))
    assert list(model.state_dict()) == list(plain.state_dict())
    for one in (plain, model):
        loss_of(one).backward()
    for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-5, atol=1e-6)
    assert all(block._compiled_call_impl is not None for block in model.blocks)


def _compile(module: nn.Module, original: Callable[..., None], **keys: bool) -> None:
    original(module, backend="eager", **keys)
