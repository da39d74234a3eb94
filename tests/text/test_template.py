"""Chat templates from strangers: what they may not do to a text, to this machine, or to our time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.text import template as module
from preceptor.text.conversation import Message, render, render_prompt
from preceptor.text.tokenizer import Tokenizer

from .styles import IM, IM_END, STYLES, Style

GOOD = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
Load = Callable[..., Tokenizer]


def saying(expression: str) -> str:
    """The same with something else in place of the content."""
    return GOOD.replace("{{ m.content }}", expression)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """load(template): a byte-level tokenizer with it."""

    def make(template: str | None, **config: Any) -> Tokenizer:
        return Tokenizer.load(Style("bytes", IM, template, {**IM_END, **config}).write(tmp_path))

    return make


def conversation(*roles: str) -> list[Message]:
    return [Message.model_validate({"role": role, "content": f"text {i}"}) for i, role in enumerate(roles)]


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        (saying("{{ m.content if m.role == 'user' }}"), r"drops or changes the text of message 2 \(assistant\)"),
        (saying("{{ m.content | upper }}"), "drops or changes the text of message 1"),
        (saying("{{ m.content | e }}"), "drops or changes the text of message 1"),
        (saying("{{ m.content[:4] }}"), "drops or changes the text of message 1"),
        (
            saying("{{ m.content }}{{ m.content }}"),
            r"repeats the text of message 1 \(user\) of a conversation of user, ass",
        ),
        (saying("{{ messages[-1 - loop.index0].content }}"), "changes the order of the messages"),
        (saying("{{ m.content | tojson }}"), "changes the text of a message"),
        (saying("{{ m.content | replace('\n', ' ') }}"), "changes the text of a message"),
        (saying("{{ nothing.at_all }}"), "refuses a conversation of user, assistant: 'nothing' is undefined"),
        ("{% for m in messages %}", "refuses a conversation of user, assistant: Unexpected end of template"),
        ("{{ raise_exception('not\ntoday\x1b[31m' * 99) }}", r"assistant: not today\[31mnot today"),
    ],
)
def test_what_cannot_be_trained_with_is_one_clear_line(load: Load, template: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as failure:
        load(template)
    said = str(failure.value)
    assert said.isprintable() and len(said) < 500


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__base__.__subclasses__() }}",
        "{{ raise_exception.__globals__['sys'] }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ strftime_now.__self__.replace(year=1) }}",
        "{% set _ = messages.append(1) %}",
        "{% include '/etc/passwd' %}",
        "{{ range(10 ** 9) | length }}",
    ],
)
def test_the_sandbox_holds(load: Load, attack: str) -> None:
    with pytest.raises(InputError, match="the chat template refuses"):
        load(attack + GOOD)


@pytest.mark.parametrize(
    "attack",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% set c = b %}{% endfor %}{% endfor %}",
        "{% set x = namespace(y='x' * 99) %}{% for a in range(60) %}{% set x.y = x.y ~ x.y %}{% endfor %}",
        "{{ 'x' * 10 ** 12 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for a in range(99999) %}{{ a }}{% endfor %}",
        "{{ 'x'.center(10 ** 12) }}",
        "{{ 9 ** (9 ** 9) }}",
    ],
)
def test_time_memory_and_output_are_bounded(load: Load, monkeypatch: pytest.MonkeyPatch, attack: str) -> None:
    monkeypatch.setitem(module.LIMITS, "seconds", 1)
    with pytest.raises(InputError, match=r"the chat template (refuses|does not finish within 1 s and 1024 MiB)"):
        load(attack + GOOD)


def test_a_huge_template_is_refused(load: Load) -> None:
    with pytest.raises(InputError, match=r"the chat template has 1\d{6} characters"):
        load("x" * 1_000_001)


def test_the_date_stands_still(load: Load) -> None:
    tokenizer = load("{{ strftime_now('%d %b %Y') }}\n" + GOOD)
    assert tokenizer.decode(render(tokenizer, conversation("user", "assistant")).ids).startswith("26 Jul 2024\n")


def test_generation_blocks_and_loop_controls_are_understood(load: Load) -> None:
    body = "{% if loop.first %}{{ m.content }}{% else %}{% generation %}{{ m.content }}{% endgeneration %}{% endif %}"
    plain, marked = load(GOOD), load("{% for x in [1, 2] %}{% break %}{% endfor %}" + saying(body))
    messages = conversation("user", "assistant", "user", "assistant")
    assert render(marked, messages) == render(plain, messages)


def test_only_one_process_for_usual_conversations(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = load(STYLES["smollm2"].template)
    monkeypatch.setattr(module.subprocess, "run", None)
    for exchanges in range(1, 5):
        for head in ([], ["system"]):
            render(tokenizer, conversation(*head, *["user", "assistant"] * exchanges))
            render_prompt(tokenizer, conversation(*head, *["user", "assistant"] * (exchanges - 1), "user"))


def test_a_long_conversation_is_rendered_too(load: Load) -> None:
    tokenizer = load(GOOD)
    rendered = render(tokenizer, conversation(*["user", "assistant"] * 30))
    assert rendered.ids.count(tokenizer.eos_id) == 60
    assert (
        sum(token == tokenizer.eos_id and trained for token, trained in zip(rendered.ids, rendered.mask, strict=True))
        == 30
    )


def test_a_template_without_end_token_gets_eos_behind_the_last_reply(load: Load) -> None:
    said = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    tokenizer = load(said + "{% if add_generation_prompt %}assistant: {% endif %}")
    messages = conversation("user", "assistant", "user", "assistant")
    rendered = render(tokenizer, messages)
    assert rendered.ids[-1] == tokenizer.eos_id and rendered.mask[-1] and rendered.ids.count(tokenizer.eos_id) == 1
    assert tokenizer.decode(rendered.ids) == "user: text 0\nassistant: text 1\nuser: text 2\nassistant: text 3"
    learnt = [token for token, trained in zip(rendered.ids, rendered.mask, strict=True) if trained]
    assert tokenizer.decode(learnt).split() == ["text", "1text", "3"]


def test_a_prompt_that_the_conversation_does_not_go_on_from_is_not_used(load: Load) -> None:
    """A template that opens a thought for the model, and shows none in the replies it is given."""
    tokenizer = load(GOOD + "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}")
    prompt = render_prompt(tokenizer, conversation("user"))
    assert tokenizer.decode(prompt.ids).endswith("assistant\n")
    whole = render(tokenizer, conversation("user", "assistant"))
    assert whole.ids[: len(prompt.ids)] == prompt.ids and whole.mask == [
        i >= len(prompt.ids) for i in range(len(whole.ids))
    ]


def test_one_side_may_be_stripped(load: Load) -> None:
    tokenizer = load(saying("{{ m.content.lstrip('\n') }}"))
    messages = [Message(role="user", content="\n\n a \n"), Message(role="assistant", content="b")]
    assert "user\n a \n\n" in tokenizer.decode(render(tokenizer, messages).ids) + "\n"


@pytest.mark.parametrize("place", ["chat_template.jinja", "default of a list", "list without default"])
def test_where_the_template_is_found(tmp_path: Path, place: str) -> None:
    good, other = GOOD, "{{ raise_exception('the wrong one') }}"
    Style("bytes", IM, other, IM_END).write(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    if place == "chat_template.jinja":
        (tmp_path / place).write_text(good)
    else:
        name = "default" if place.startswith("default") else "rag"
        config["chat_template"] = [{"name": "tool_use", "template": other}, {"name": name, "template": good}]
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    if place == "list without default":
        with pytest.raises(InputError, match=r'no chat template is named "default" \(found: tool_use, rag\)'):
            Tokenizer.load(tmp_path)
    else:
        assert render(Tokenizer.load(tmp_path), conversation("user", "assistant")).mask.count(True) > 2


def test_the_unknown_token_may_end_turns(load: Load) -> None:
    tokenizer = load(GOOD.replace("<|im_end|>", "<|endoftext|>"), unk_token="<|endoftext|>")
    rendered = render(tokenizer, conversation("user", "assistant"))
    assert tokenizer.eos_ids == (0, 2) and rendered.ids[-1] == 0 and rendered.ids.count(0) == 2
