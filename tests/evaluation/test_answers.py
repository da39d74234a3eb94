"""Models that answer: a chat model reads the rendered conversation, a base model a text that it continues."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from preceptor.evaluation.answers import Answer, Policy, Question
from preceptor.generation import engine
from preceptor.models.transformer import Transformer
from preceptor.text.conversation import Message, render_prompt
from preceptor.text.tokenizer import Tokenizer


def question(number: int, text: str = "Whom does ann like?") -> Question:
    return Question(f"p{number}", "open_qa", (Message(role="user", content=f"{text} {number}"),))


@pytest.fixture
def policy(tiny_model: Callable[..., Transformer], tiny_tokenizer: Tokenizer) -> Policy:
    return Policy("sft", tiny_model(max_position_embeddings=64).eval(), tiny_tokenizer, max_new_tokens=12)


def ask(
    policy: Policy, numbers: range, temperature: float = 1.0, part: str = "a", samples: int = 1
) -> list[list[Answer]]:
    return policy.answer([question(n) for n in numbers], temperature=temperature, seed=0, part=part, samples=samples)


def test_a_chat_model_reads_the_rendered_prompt(policy: Policy, tiny_tokenizer: Tokenizer) -> None:
    for number, group in enumerate(ask(policy, range(4), samples=3)):
        assert len(group) == 3
        for answer in group:
            assert answer.prompt == render_prompt(tiny_tokenizer, question(number).messages, policy.prompt_room).ids
            assert answer.finished == (answer.ids[-1] == tiny_tokenizer.eos_id)
            assert answer.text == tiny_tokenizer.decode(answer.ids).strip()
            assert len(answer.prompt) + len(answer.ids) <= 64


def test_an_answer_does_not_depend_on_what_else_is_asked(policy: Policy) -> None:
    many, few = ask(policy, range(6)), ask(policy, range(4, 6))
    assert few == many[4:]


def test_parts_and_models_draw_independently_and_greedy_draws_nothing(policy: Policy) -> None:
    other = replace(policy, name="ppo")
    assert ask(policy, range(4)) != ask(policy, range(4), part="b")
    assert ask(policy, range(4)) != ask(other, range(4))
    greedy = ask(policy, range(4), temperature=0.0)
    assert greedy == ask(other, range(4), temperature=0.0, part="b")


def test_a_long_prompt_leaves_room_for_the_answer(policy: Policy) -> None:
    long = question(0, "Whom does ann like? " * 30)
    for one in (policy, replace(policy, base_format="question")):
        ((answer,),) = one.answer([long], temperature=1.0, seed=0, part="a")
        assert len(answer.prompt) <= 64 - 12


class Scripted:
    """Stands in for the engine: every prompt gets the same text."""

    def __init__(self, tokenizer: Tokenizer, text: str, end: bool) -> None:
        self.ids = tokenizer.encode(text) + [tokenizer.eos_id] * end
        self.stop: int | None = None

    def __call__(self, model: object, prompts: list[list[int]], *_: object, eos_id: int, **__: object) -> object:
        self.stop, self.prompts = eos_id, prompts
        ids = self.ids[: self.ids.index(eos_id) + 1] if eos_id in self.ids else self.ids
        done = "stop" if eos_id in self.ids else "length"
        return [[engine.Generation(prompt, ids, [0.0] * len(ids), done)] for prompt in prompts]


@pytest.mark.parametrize(
    ("written", "end", "text", "finished"),
    [
        (" bob.\nAnswer: dan.", False, "bob.", True),
        (" bob.", True, "bob.", True),
        (" bob likes", False, "bob likes", False),
    ],
)
def test_a_base_model_answers_up_to_the_line_end(
    policy: Policy,
    tiny_tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    written: str,
    end: bool,
    text: str,
    finished: bool,
) -> None:
    script = Scripted(tiny_tokenizer, written, end)
    monkeypatch.setattr("preceptor.evaluation.answers.generate", script)
    ((answer,),) = ask(replace(policy, base_format="question"), range(1))
    assert (answer.text, answer.finished) == (text, finished)
    assert script.stop == tiny_tokenizer.encode("\n")[0]
    assert script.prompts[0][0] == tiny_tokenizer.bos_id
    assert tiny_tokenizer.decode(script.prompts[0]).endswith("Answer:")
    assert not set(tiny_tokenizer.role_ids.values()) & set(script.prompts[0])
    # The reward model reads it like any other answer: after the rendered prompt, with its end.
    assert answer.prompt == render_prompt(tiny_tokenizer, question(0).messages, policy.prompt_room).ids
    assert answer.ids == [*tiny_tokenizer.encode(text), tiny_tokenizer.eos_id][:12]


def test_no_gradients_are_kept(policy: Policy) -> None:
    ask(policy, range(2))
    assert all(parameter.grad is None for parameter in policy.model.parameters())
    assert torch.is_grad_enabled()


def test_an_answer_of_the_base_ends_as_those_in_rankings_do(policy: Policy, tiny_tokenizer: Tokenizer) -> None:
    base = replace(policy, base_format="question")
    answers = [answer for group in ask(base, range(6), samples=2) for answer in group]
    assert any(not answer.finished for answer in answers), "some must have run into the limit"
    for answer in answers:
        assert answer.ids[-1] == tiny_tokenizer.eos_id
        assert len(answer.ids) <= policy.max_new_tokens
