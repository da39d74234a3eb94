"""Both layouts of a weight give the product."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from preceptor.generation import products
from preceptor.generation.engine import generate
from preceptor.generation.products import Packed, Plain, can_pack, product
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.transformer import Transformer


@pytest.fixture
def everything_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    if not can_pack():
        pytest.skip("this build of torch has no packed products")
    monkeypatch.setattr(products, "PACKED_FROM", 1)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("biased", [False, True])
def test_a_product_is_a_product(packed: bool, biased: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if packed and not can_pack():
        pytest.skip("this build of torch has no packed products")
    monkeypatch.setattr(products, "PACKED_FROM", 1 if packed else 10**9)
    rng = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    weight, bias = draw(24, 17), draw(24) if biased else None
    made = product(weight, bias, rows=5)
    assert isinstance(made, Packed if packed else Plain)
    for rows in (1, 5, 9):  # more or fewer than it was made for
        x = draw(rows, 17)
        right = torch.nn.functional.linear(x, weight, bias)
        torch.testing.assert_close(made.of(torch.empty(rows, 24), x), right)
        out, wide = torch.empty(rows, 24), draw(rows, 30)
        assert made.into(out, x) is out
        torch.testing.assert_close(out, right)
        total = wide[:, :24]
        expected = total + right
        made.onto(total, x)
        torch.testing.assert_close(total, expected)


def test_what_is_packed_when() -> None:
    small, large = torch.zeros(8, 8), torch.zeros(512, 512)
    assert isinstance(product(small, None, rows=64), Plain)
    assert isinstance(product(large, None, rows=1), Plain)
    assert isinstance(product(large, None, rows=2), Packed if can_pack() else Plain)


def test_without_the_operations_everything_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> Tensor:
        raise AttributeError("no such operator")

    monkeypatch.setattr(products, "_packed", missing)
    can_pack.cache_clear()
    try:
        assert not can_pack()
        assert isinstance(product(torch.zeros(512, 512), None, rows=8), Plain)
    finally:
        can_pack.cache_clear()


@pytest.mark.usefixtures("everything_packed")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_packed_weights_sample_the_same(
    tiny_model: Callable[..., Transformer], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sampling = tiny_model(family).eval(), SamplingConfig(max_new_tokens=12)
    prompts = [[5, 9, 33], [7], [4, 8] * 5]
    packed = generate(model, prompts, sampling, eos_id=2, pad_id=0, samples_per_prompt=2)
    monkeypatch.setattr(products, "PACKED_FROM", 10**9)
    plain = generate(model, prompts, sampling, eos_id=2, pad_id=0, samples_per_prompt=2)
    for one, other in zip(packed, plain, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.ids == b.ids
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)
