"""The engine samples exactly what an uncached model would, whatever shares the batch."""

import dataclasses
from collections.abc import Sequence

import pytest
import torch

from preceptor.errors import InputError
from preceptor.generation.engine import Engine, Generation, generate
from preceptor.generation.sampling import Sampler, SamplingConfig, uniforms
from preceptor.keyed import Key
from preceptor.models.config import TransformerConfig
from preceptor.models.lora import LoRAConfig, fresh_adapters, own_parameters
from preceptor.models.transformer import Transformer

EOS, PAD, CONTEXT = 15, 0, 40

GPT2 = TransformerConfig(
    family="gpt2", vocab_size=61, hidden_size=32, intermediate_size=64, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=4, head_dim=8, max_position_embeddings=CONTEXT,
    position="learned", norm="layernorm", mlp="gelu", bias=True,
)  # fmt: skip
LLAMA = dataclasses.replace(
    GPT2, family="llama", position="rotary", norm="rmsnorm", mlp="swiglu", bias=False, tie_word_embeddings=False
)
# Two query heads a key head, two bundles of two key heads.
GQA = dataclasses.replace(LLAMA, num_attention_heads=8, head_dim=48, intermediate_size=52)

RAGGED = [[5, 9, 33], [7], list(range(3, 30)), [4, 8] * 5, [60, 59, 58, 57], [11, 12]]


def peaky(config: TransformerConfig) -> Transformer:
    """A random model with every parameter away from its start and distributions far from flat."""
    model = Transformer(config)
    generator = torch.Generator().manual_seed(0)
    model.initialise(generator)
    for name, parameter in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
        else:
            parameter.data *= 6 if parameter is not model.head.weight else 20
    return model.eval()


def with_adapters(config: TransformerConfig) -> Transformer:
    """Adapters that turn the model into quite another one."""
    base = peaky(config)
    model = fresh_adapters(base, LoRAConfig(rank=3, alpha=3), 0, "test")
    generator = torch.Generator().manual_seed(1)
    for parameter in own_parameters(model).values():
        parameter.data.normal_(0.0, 0.15, generator=generator)
    ids = torch.tensor(RAGGED[2])[None]
    with torch.no_grad():
        assert (model(ids) - base(ids)).abs().max() > 1
    return model


@pytest.fixture(scope="module", params=["gpt2", "llama", "gqa", "gpt2 + lora", "gqa + lora"])
def model(request: pytest.FixtureRequest) -> Transformer:
    name, _, adapters = request.param.partition(" + ")
    config = {"gpt2": GPT2, "llama": LLAMA, "gqa": GQA}[name]
    return with_adapters(config) if adapters else peaky(config)


def uncached(
    model: Transformer, prompt: Sequence[int], sampling: SamplingConfig, key: Sequence[Key], sample: int
) -> Generation:
    """One response, the whole sequence computed again for each token."""
    ids, logprobs = list(prompt), []
    noise = torch.from_numpy(uniforms(sampling.seed, key, sample, sampling.max_new_tokens))
    sampler = Sampler([sampling], torch.device("cpu"))
    with torch.no_grad():
        while len(ids) < min(CONTEXT, len(prompt) + sampling.max_new_tokens) and EOS not in ids[len(prompt) :]:
            logits = model(torch.tensor([ids]))[:, -1]
            token, logprob = sampler.draw(logits, noise[len(logprobs)][None])
            ids.append(int(token))
            logprobs.append(float(logprob))
    return Generation(list(prompt), ids[len(prompt) :], logprobs, "stop" if ids[-1] == EOS else "length")


def assert_same(ours: Sequence[Generation], theirs: Sequence[Generation]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert (a.prompt, a.ids, a.finish_reason) == (b.prompt, b.ids, b.finish_reason)
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)


@pytest.mark.parametrize("max_slots", [1, 3, 64])
@pytest.mark.parametrize(
    "sampling",
    [
        SamplingConfig(max_new_tokens=30, seed=1),
        SamplingConfig(temperature=0, max_new_tokens=30),
        SamplingConfig(temperature=1.7, top_k=20, top_p=0.9, max_new_tokens=9),
    ],
    ids=["pure", "greedy", "cut"],
)
def test_cached_equals_uncached_for_any_number_of_slots(
    model: Transformer, sampling: SamplingConfig, max_slots: int
) -> None:
    keys = [("stage", index * 7) for index in range(len(RAGGED))]
    made = generate(
        model, RAGGED, sampling, samples_per_prompt=3, keys=keys, max_slots=max_slots, eos_id=EOS, pad_id=PAD
    )
    for prompt, key, ours in zip(RAGGED, keys, made, strict=True):
        assert_same(ours, [uncached(model, prompt, sampling, key, sample) for sample in range(3)])


def test_the_responses_tested_are_worth_it(model: Transformer) -> None:
    """Peaky but not deterministic, some ended by the end token, some by the limit, some by the context."""
    made = [g for one in generate(model, RAGGED, SamplingConfig(max_new_tokens=30, seed=1), samples_per_prompt=6,
                                  eos_id=EOS, pad_id=PAD) for g in one]  # fmt: skip
    assert {g.finish_reason for g in made} == {"stop", "length"}
    assert any(len(g.prompt) + len(g.ids) == CONTEXT for g in made if g.finish_reason == "length")
    logprobs = torch.tensor([p for g in made for p in g.logprobs])
    assert -3.5 < logprobs.mean() < -0.2
    assert len({tuple(g.ids) for g in made}) > len(made) / 2


def test_logprobs_are_those_of_one_forward_pass_over_the_whole(model: Transformer) -> None:
    sampling = SamplingConfig(temperature=0.7, max_new_tokens=25)
    for (made,) in generate(model, RAGGED, sampling, eos_id=EOS, pad_id=PAD):
        with torch.no_grad():
            logits = model(torch.tensor([made.prompt + made.ids]))[0, len(made.prompt) - 1 : -1]
        expected = (logits / 0.7).log_softmax(-1).gather(1, torch.tensor(made.ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(made.logprobs), expected, atol=1e-5, rtol=0)


def test_a_distinct_prompt_is_computed_once(model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[list[int]] = []
    engine = Engine(model, eos_id=EOS, pad_id=PAD, max_slots=4)
    prefill = engine._decoder.prefill
    monkeypatch.setattr(
        engine._decoder, "prefill", lambda prompts: computed.extend(map(list, prompts)) or prefill(prompts)
    )
    for index, prompt in enumerate([[5, 6, 7], [5, 6, 7], [8, 9]]):
        engine.submit(prompt, SamplingConfig(max_new_tokens=6), samples=7, key=(index,))
    made = {}
    while engine.busy:
        made |= engine.step()
    assert sorted(made) == list(range(21))
    assert sorted(computed) == [[5, 6], [8]]
    assert made[0].ids != made[7].ids  # the same prompt under another key


def test_any_of_several_end_tokens_ends_a_response(model: Transformer) -> None:
    sampling = SamplingConfig(max_new_tokens=30, seed=1)
    (free,) = generate(model, RAGGED[:1], sampling, samples_per_prompt=8, eos_id=None, pad_id=PAD)
    ends = (free[0].ids[4], free[1].ids[6])
    (made,) = generate(model, RAGGED[:1], sampling, samples_per_prompt=8, eos_id=ends, pad_id=PAD)
    for one, longer in zip(made, free, strict=True):
        stop = next((place + 1 for place, token in enumerate(longer.ids) if token in ends), None)
        assert one.ids == longer.ids[:stop]
        assert one.finish_reason == ("length" if stop is None else "stop")
    assert {one.ids[-1] for one in made} >= set(ends)


def test_rows_may_join_and_leave_between_steps(model: Transformer) -> None:
    sampling = SamplingConfig(max_new_tokens=20, seed=5)
    engine = Engine(model, eos_id=None, pad_id=PAD, max_slots=4)
    first, unwanted = engine.submit(RAGGED[0], sampling, key=(0,)) + engine.submit(RAGGED[1], sampling, key=(1,))
    made = {}
    for _ in range(5):
        made |= engine.step()
    early = engine.so_far(first)
    assert len(early[0]) == len(early[1]) == 5
    late = engine.submit(RAGGED[3], SamplingConfig(temperature=0, max_new_tokens=8), samples=2, key=(3,))
    waiting = engine.submit(RAGGED[4], sampling, samples=3, key=(4,))
    engine.cancel(unwanted)
    engine.cancel(waiting[1])
    while engine.busy:
        made |= engine.step()
    assert sorted(made) == sorted([first, *late, waiting[0], waiting[2]])
    assert made[first].ids[:5] == early[0]
    alone = generate(model, [RAGGED[0]], sampling, keys=[(0,)], eos_id=None, pad_id=PAD)
    assert_same([made[first]], alone[0])
    assert made[late[0]].ids == made[late[1]].ids
    assert engine.step() == {}
    assert engine.so_far(first) == ([], [])


def test_progress_counts_up_to_the_total(model: Transformer) -> None:
    seen: list[tuple[int, int]] = []
    generate(model, RAGGED, SamplingConfig(max_new_tokens=5), samples_per_prompt=2, max_slots=5, eos_id=EOS,
             pad_id=PAD, on_progress=lambda done, total: seen.append((done, total)))  # fmt: skip
    assert seen == sorted(seen)
    assert seen[-1] == (12, 12)


def test_a_prompt_that_fills_the_context_is_named(model: Transformer) -> None:
    sampling = SamplingConfig(max_new_tokens=5)
    (made,) = generate(model, [[3] * (CONTEXT - 1)], sampling, eos_id=EOS, pad_id=PAD)[0:1]
    assert len(made[0].ids) == 1
    with pytest.raises(InputError, match=r"40 tokens .* at most 39"):
        generate(model, [[3], [3] * CONTEXT], sampling, eos_id=EOS, pad_id=PAD)
    with pytest.raises(InputError, match="no tokens"):
        generate(model, [[]], sampling, eos_id=EOS, pad_id=PAD)
    assert generate(model, [], sampling, eos_id=EOS, pad_id=PAD) == []


def test_a_model_without_direction_and_a_diverged_one_are_refused(model: Transformer) -> None:
    sampling = SamplingConfig(max_new_tokens=5)
    both_ways = Transformer(dataclasses.replace(model.config, causal=False))
    with pytest.raises(InputError, match="both directions"):
        generate(both_ways, [[3]], sampling, eos_id=EOS, pad_id=PAD)
    diverged = Transformer(model.config)
    diverged.norm.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        generate(diverged, [[3]], sampling, eos_id=EOS, pad_id=PAD)


@pytest.mark.parametrize("max_slots", [1, 3])
def test_likely_tokens_are_the_models_own_for_those_who_ask(model: Transformer, max_slots: int) -> None:
    """Rows of all kinds share the steps, end at different times, and move into gaps."""
    sampling = SamplingConfig(temperature=1.7, top_k=20, max_new_tokens=9)
    engine = Engine(model, eos_id=EOS, pad_id=PAD, max_slots=max_slots)
    wanted = [None, 2, 0, None, 4, 100]
    tickets = [
        engine.submit(prompt, sampling, key=(index,), alternatives=count)[0]
        for index, (prompt, count) in enumerate(zip(RAGGED, wanted, strict=True))
    ]
    made: dict[int, Generation] = {}
    while engine.busy:
        made |= engine.step()
    plain = generate(model, RAGGED, sampling, eos_id=EOS, pad_id=PAD)
    assert_same([made[ticket] for ticket in tickets], [one for (one,) in plain])
    for ticket, count in zip(tickets, wanted, strict=True):
        one = made[ticket]
        if count is None:
            assert one.likely == []
            continue
        with torch.no_grad():
            logits = model(torch.tensor([one.prompt + one.ids]))[0, len(one.prompt) - 1 : -1]
        for token, row_V, likely in zip(one.ids, logits.log_softmax(-1), one.likely, strict=True):
            assert likely.logprob == pytest.approx(row_V[token].item(), abs=1e-4)
            best = row_V.topk(min(count, len(row_V)))
            assert [value for _, value in likely.top] == pytest.approx(best.values.tolist(), abs=1e-4)
            assert [row_V[token].item() for token, _ in likely.top] == pytest.approx(best.values.tolist(), abs=1e-4)
