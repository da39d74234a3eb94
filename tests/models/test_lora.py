"""LoRA: what is adapted, what is shared, and that it computes (W + scale * B A) x and nothing else."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from preceptor.errors import InputError
from preceptor.models.heads import ScalarModel
from preceptor.models.linear import Linear, keyed_dropout, merged_weight
from preceptor.models.lora import (
    LoRAConfig,
    adapted,
    adapter_pairs,
    fork,
    fresh_adapters,
    linear_layers,
    own_parameters,
    plain_state,
    targeted,
)
from preceptor.models.transformer import Transformer
from preceptor.training.corpus import next_token_loss

MakeModel = Callable[..., Transformer]
IDS = torch.randint(7, 270, (3, 13), generator=torch.Generator().manual_seed(0))
ONLY = torch.rand(3, 13, generator=torch.Generator().manual_seed(1)) < 0.4
LORA = LoRAConfig(rank=3, alpha=6.0)


def storages(*models: nn.Module) -> dict[int, int]:
    """Bytes of every distinct storage of the parameters."""
    held = [p.untyped_storage() for model in models for p in model.parameters()]
    return {one.data_ptr(): one.nbytes() for one in held}


def shaken(model: Transformer) -> Transformer:
    """With adapters that do something."""
    generator = torch.Generator().manual_seed(7)
    for parameter in own_parameters(model).values():
        parameter.data.normal_(0.0, 0.3, generator=generator)
    return model


def merged(model: Transformer) -> Transformer:
    plain = Transformer(model.config)
    plain.load_state_dict(plain_state(model))
    return plain


@pytest.mark.parametrize(
    ("family", "targets", "leaves"),
    [
        ("llama", ("all-linear",), {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
        ("llama", ("v_proj", "up_proj"), {"v_proj", "up_proj"}),
        ("gpt2", ("all-linear",), {"c_attn", "c_proj", "c_fc"}),
    ],
)
def test_targets_are_hugging_faces_names(
    tiny_model: MakeModel, family: str, targets: tuple[str, ...], leaves: set[str]
) -> None:
    config = tiny_model(family).config
    assert {name.rpartition(".")[2] for name in targeted(config, targets)} == leaves
    model = fresh_adapters(tiny_model(family), LORA.model_copy(update={"targets": targets}), 0, "x")
    assert set(adapter_pairs(model)) == set(targeted(config, targets))


def test_a_target_may_say_more_of_the_path(tiny_model: MakeModel) -> None:
    config = tiny_model("gpt2").config
    assert targeted(config, ("mlp.c_proj",)) == ["h.0.mlp.c_proj", "h.1.mlp.c_proj"]
    assert targeted(config, ("h.1.attn.c_proj", "c_fc")) == ["h.0.mlp.c_fc", "h.1.attn.c_proj", "h.1.mlp.c_fc"]


def test_an_unknown_target_lists_the_known_ones(tiny_model: MakeModel) -> None:
    with pytest.raises(
        InputError, match=r"lora\.targets names c_attn, .*there are q_proj, k_proj, .*, all-linear"
    ) as e:
        targeted(tiny_model("llama").config, ("q_proj", "c_attn"))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_fresh_adapters_change_nothing_and_share_everything(tiny_model: MakeModel, family: str) -> None:
    base = tiny_model(family)
    before = storages(base)
    model = fresh_adapters(base, LORA, 0, "x")
    assert torch.equal(model(IDS), base(IDS)), "B is 0"
    own = own_parameters(model)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == set(own)
    assert not any(p.requires_grad for p in base.parameters())
    assert all(".adapter." in name for name in own)
    assert sum(storages(base, model).values()) == sum(before.values()) + sum(4 * p.numel() for p in own.values())
    assert not any(".adapter." in name for name, _ in base.named_parameters()), "the base stays as it is"


def test_the_draw_is_named(tiny_model: MakeModel) -> None:
    first, again, other = (fresh_adapters(tiny_model(), LORA, *key) for key in ((0, "a"), (0, "a"), (0, "b")))
    pairs, same, different = (adapter_pairs(model) for model in (first, again, other))
    for name, pair in pairs.items():
        assert torch.equal(pair.down, same[name].down)
        assert not torch.equal(pair.down, different[name].down)
        bound = pair.down.shape[1] ** -0.5
        assert 0.5 * bound < pair.down.abs().max() <= bound
        assert pair.scale == 2.0
    assert len({pair.down[0, 0].item() for pair in pairs.values()}) == len(pairs), "each layer has its own"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("targets", [("all-linear",), ("v_proj", "c_attn", "gate_proj", "mlp.c_proj")])
def test_adapters_compute_what_merged_weights_do(tiny_model: MakeModel, family: str, targets: tuple[str, ...]) -> None:
    base = tiny_model(family)
    there = [one for one in targets if one == "all-linear" or any(n.endswith(one) for n in linear_layers(base.config))]
    model = shaken(fresh_adapters(base, LORA.model_copy(update={"targets": tuple(there)}), 0, "x"))
    plain = merged(model)
    with torch.no_grad():
        assert (model(IDS) - base(IDS)).abs().max() > 0.1
        torch.testing.assert_close(model(IDS), plain(IDS), atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(model.hidden(IDS, only_BT=ONLY), plain.hidden(IDS, only_BT=ONLY), atol=2e-5, rtol=0)


def test_merging_is_the_formula(tiny_model: MakeModel) -> None:
    base = tiny_model("llama")
    model = shaken(fresh_adapters(base, LORA, 0, "x"))
    state, pairs = plain_state(model), adapter_pairs(model)
    for name, place in linear_layers(base.config).items():
        added = state[place.layer + ".weight"][place.rows] - base.state_dict()[place.layer + ".weight"][place.rows]
        torch.testing.assert_close(added, 2.0 * pairs[name].up @ pairs[name].down, atol=1e-6, rtol=1e-5)
    assert torch.equal(state["embed.weight"], base.embed.weight)
    assert set(state) == set(base.state_dict())


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_gradients_are_those_of_the_formula(tiny_model: MakeModel, family: str) -> None:
    model = shaken(fresh_adapters(tiny_model(family), LORA, 0, "x"))
    plain = merged(model)
    (model(IDS) ** 2).mean().backward()
    (plain(IDS) ** 2).mean().backward()
    grads = dict(plain.named_parameters())
    for name, place in linear_layers(model.config).items():
        grad = grads[place.layer + ".weight"].grad
        assert grad is not None
        pair, adapter = adapter_pairs(model)[name], model.get_submodule(place.layer).adapter
        leaf = name.rpartition(".")[2]
        near(adapter.B[leaf].grad, 2.0 * grad[place.rows] @ pair.down.t())
        near(adapter.A[leaf].grad, 2.0 * pair.up.t() @ grad[place.rows])
    assert all(p.grad is None for name, p in model.named_parameters() if ".adapter." not in name)


def near(mine: Tensor | None, right: Tensor) -> None:
    assert mine is not None
    torch.testing.assert_close(mine, right, rtol=1e-3, atol=1e-5)


def test_adapters_stay_float32_over_weights_of_16_bits(tiny_model: MakeModel) -> None:
    base = tiny_model("gpt2")
    for parameter in base.parameters():
        parameter.data = parameter.data.bfloat16()
    model = shaken(fresh_adapters(base, LORA, 0, "x"))
    assert {p.dtype for p in own_parameters(model).values()} == {torch.float32}
    exact = copy.deepcopy(model).float()
    with torch.no_grad():
        assert (model(IDS).float() - exact(IDS)).abs().mean() < 0.1 * exact(IDS).std()
    model(IDS).float().square().mean().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in own_parameters(model).values())
    assert {tensor.dtype for tensor in plain_state(model).values()} == {torch.bfloat16}
    layer = model.get_submodule("blocks.0.mlp.up")
    assert isinstance(layer, Linear)
    assert merged_weight(layer).dtype == torch.float32, "the engine merges before it rounds"


def test_a_fork_copies_its_own_and_shares_the_rest(tiny_model: MakeModel) -> None:
    scorer = ScalarModel(shaken(fresh_adapters(tiny_model(), LORA, 0, "x")))
    critic = fork(scorer)
    assert set(own_parameters(scorer)) == {n for n, _ in scorer.named_parameters() if ".adapter." in n or "score" in n}
    for (name, mine), (_, theirs) in zip(critic.named_parameters(), scorer.named_parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert (mine is theirs) == (name not in own_parameters(scorer)), name
        assert mine.requires_grad == theirs.requires_grad
    own_parameters(critic)["trunk.blocks.0.mlp.up.adapter.B.up_proj"].data += 1.0
    critic.score.bias.data += 1.0
    with torch.no_grad():
        assert (critic(IDS) - scorer(IDS)).abs().mean() > 0.5


def test_without_adapters_everything_is_a_models_own(tiny_model: MakeModel) -> None:
    model = tiny_model()
    copy = fork(model)
    assert set(own_parameters(model)) == dict(model.named_parameters()).keys()
    assert not storages(model).keys() & storages(copy).keys()
    assert copy.head.weight is copy.embed.weight


def test_shapes_that_do_not_fit_are_named(tiny_model: MakeModel) -> None:
    pairs = adapter_pairs(fresh_adapters(tiny_model(hidden_size=24), LORA, 0, "x"))
    with pytest.raises(ValueError, match=r"layers.0.self_attn.q_proj takes A and B of the shapes \[\(3, 16\)"):
        adapted(tiny_model(), pairs)
    with pytest.raises(ValueError, match=r"there is no linear layer h\.9\.attn"):
        adapted(tiny_model("gpt2"), {"h.9.attn": next(iter(pairs.values()))})


# dropout -----------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean_and_its_share() -> None:
    noise = torch.arange(500)
    dropped = keyed_dropout(torch.ones(500, 200), noise, 0.3, 5)
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    zeros = dropped == 0
    assert zeros.float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert zeros.float().mean(0).std().item() == pytest.approx((0.3 * 0.7 / 500) ** 0.5, rel=0.2), "channels alike"
    assert zeros.float().mean(1).std().item() == pytest.approx((0.3 * 0.7 / 200) ** 0.5, rel=0.2), "tokens alike"
    neighbours = (zeros[1:] == zeros[:-1]).float().mean().item()
    assert neighbours == pytest.approx(0.58, abs=0.01), "the next token's draw knows nothing of this one's"
    other = keyed_dropout(torch.ones(500, 200), noise, 0.3, 6) == 0
    assert (other == zeros).float().mean().item() == pytest.approx(0.58, abs=0.01), "nor does another layer's"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_dropout_is_keyed_by_token_and_off_without_a_key(tiny_model: MakeModel, family: str) -> None:
    config = LORA.model_copy(update={"dropout": 0.5})
    model = shaken(fresh_adapters(tiny_model(family), config, 0, "x", dropout=True))
    noise = torch.arange(IDS.numel()).view_as(IDS)
    with torch.no_grad():
        plain, dropped = model.hidden(IDS), model.hidden(IDS, noise_BT=noise)
        assert (plain - dropped).abs().max() > 0.1
        assert torch.equal(dropped, model.hidden(IDS, noise_BT=noise))
        for row in range(len(IDS)):
            alone = model.hidden(IDS[row, None], noise_BT=noise[row, None])
            torch.testing.assert_close(alone, dropped[row, None], atol=1e-5, rtol=0)
        some = model.hidden(IDS, only_BT=ONLY, noise_BT=noise)
        torch.testing.assert_close(some, dropped[ONLY], atol=1e-5, rtol=0)
        assert (model.hidden(IDS, noise_BT=noise + 1000) - dropped).abs().max() > 0.1
        never = shaken(fresh_adapters(tiny_model(family), config, 0, "x"))
        assert torch.equal(never.hidden(IDS, noise_BT=noise), plain), "only where it is asked for"


# activation checkpointing ------------------------------------------------------------------------


@pytest.mark.parametrize("adapters", [False, True])
def test_checkpointing_changes_memory_and_nothing_else(tiny_model: MakeModel, adapters: bool) -> None:
    def run(checkpointing: bool) -> tuple[Tensor, dict[str, Tensor], int]:
        model = tiny_model("llama", num_hidden_layers=4)
        if adapters:
            config = LORA.model_copy(update={"dropout": 0.5})
            model = shaken(fresh_adapters(model, config, 0, "x", dropout=True))
        model.gradient_checkpointing = checkpointing
        noise = torch.arange(IDS.numel()).view_as(IDS)
        kept: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        weights = storages(model)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = next_token_loss(model, IDS, torch.ones_like(IDS), ONLY[:, 1:], noise_BT=noise)
        held = sum(size for place, size in kept.items() if place not in weights)
        loss.backward()
        return loss, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, held

    (loss, grads, held), (plain, expected, whole) = run(True), run(False)
    assert torch.equal(loss, plain)
    assert grads.keys() == expected.keys()
    assert all(torch.equal(grads[name], expected[name]) for name in grads)
    assert held < 0.4 * whole


def test_a_layer_without_an_adapter_is_torchs_own() -> None:
    layer = Linear(5, 7, bias=True)
    x = torch.randn(2, 3, 5)
    assert torch.equal(layer(x), nn.Linear.forward(layer, x))
    assert set(layer.state_dict()) == {"weight", "bias"}
