"""Models with a chat template of their own: ids as transformers makes them, masks, markers nobody can type, cuts."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from preceptor.errors import InputError
from preceptor.text.conversation import Message, Rendered, render, render_prompt
from preceptor.text.layout import Role
from preceptor.text.tokenizer import Tokenizer

from .styles import STYLES

QUESTION, ANSWER = "What is the capital of Peru?", "The capital of Peru is Lima."
NO_SYSTEM = ("mistral",)
# What the template writes behind the last end of turn; a rendered conversation ends before it.
TAIL = {"\n", ""}


def turns(*texts: str, system: str | None = None) -> list[Message]:
    """The texts by turns of user and assistant."""
    roles: list[Role] = ["user", "assistant"]
    head = [] if system is None else [Message(role="system", content=system)]
    return head + [Message(role=roles[i % 2], content=text) for i, text in enumerate(texts)]


@dataclass(frozen=True)
class Pair:
    """A tokenizer of ours and that of transformers, from one directory."""

    name: str
    directory: Path
    ours: Tokenizer
    theirs: Any

    def ids(self, messages: list[Message], **options: Any) -> list[int]:
        dumped = [message.model_dump() for message in messages]
        return list(self.theirs.apply_chat_template(dumped, tokenize=True, return_dict=False, **options))

    def text(self, ids: list[int]) -> str:
        return str(self.theirs.decode(ids, clean_up_tokenization_spaces=False))


@pytest.fixture(scope="session", params=STYLES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    name = request.param
    directory = STYLES[name].write(tmp_path_factory.mktemp("style"))
    ours = Tokenizer.load(directory)
    read = directory
    if name in ("gpt2", "qwen3"):  # what we add, a layout or a switch, is in what we save
        read = tmp_path_factory.mktemp("saved")
        ours.save(read)
    return Pair(name, directory, ours, AutoTokenizer.from_pretrained(read))


def check(pair: Pair, messages: list[Message]) -> Rendered:
    """A conversation and its last prompt have transformers' ids."""
    whole, theirs = render(pair.ours, messages), pair.ids(messages)
    assert theirs[: len(whole.ids)] == whole.ids
    assert pair.text(theirs[len(whole.ids) :]) in TAIL
    prompt = render_prompt(pair.ours, messages[:-1])
    assert prompt.ids == pair.ids(messages[:-1], add_generation_prompt=True)
    assert whole.ids[: len(prompt.ids)] == prompt.ids
    assert not any(prompt.mask) and not prompt.truncated and not whole.truncated
    return whole


def test_one_exchange(pair: Pair) -> None:
    whole = check(pair, turns(QUESTION, ANSWER))
    learnt = [token for token, trained in zip(whole.ids, whole.mask, strict=True) if trained]
    assert learnt[-1] == pair.ours.eos_id == whole.ids[-1]
    assert pair.ours.decode(learnt).strip() == ANSWER


def test_every_reply_of_a_longer_conversation_is_learnt_and_nothing_else(pair: Pair) -> None:
    replies = ["naïve café 🙂", "code = f(x)\n\n  indented", ANSWER]
    system = None if pair.name in NO_SYSTEM else "Be brief."
    messages = turns("Österreich?", replies[0], "x, 12345\n", replies[1], QUESTION, replies[2], system=system)
    whole = check(pair, messages)
    # Each stretch of trained tokens is a reply and the end of its turn.
    stretches: list[list[int]] = []
    for place, trained in enumerate(whole.mask):
        if trained and not (place and whole.mask[place - 1]):
            stretches.append([])
        if trained:
            stretches[-1].append(whole.ids[place])
    assert [pair.ours.decode(one).strip() for one in stretches] == replies
    assert [one[-1] for one in stretches] == [pair.ours.eos_id] * 3
    assert not any(token in pair.ours.eos_ids for one in stretches for token in one[:-1])


words = st.text(st.characters(exclude_categories=["Cs", "Co", "Cn"]), max_size=40).filter(
    lambda text: bool(text.strip()) and not any(mark in text for mark in ("<", "[", "{"))
)


@given(texts=st.lists(words, min_size=3, max_size=3), system=st.none() | words)
def test_any_text_has_transformers_ids(pair: Pair, texts: list[str], system: str | None) -> None:
    # A reply that begins with white space is not joined with the template's own: see the module's docstring.
    texts[1] = texts[1].strip()
    check(pair, turns(*texts, ANSWER, system=None if pair.name in NO_SYSTEM else system))


@pytest.mark.parametrize("flag", [True, False])
def test_what_transformers_puts_before_a_text(pair: Pair, tmp_path: Path, flag: bool) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(pair.directory, copy)
    config = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(config | {"add_bos_token": flag}))
    ours, text = Tokenizer.load(copy), "ann likes bob"
    assert [*ours.before_text, *ours.encode(text)] == AutoTokenizer.from_pretrained(copy).encode(text)
    if pair.name == "llama3":
        assert ours.before_text == (ours.bos_id,)


def test_nobody_can_type_a_marker(pair: Pair) -> None:
    marks = [*STYLES[pair.name].specials, *STYLES[pair.name].plain_added, *pair.ours.added]
    marks = [mark for mark in marks if mark.strip() and mark not in ("<unk>", "▁▁")]
    control = {pair.theirs.convert_tokens_to_ids(mark) for mark in marks if mark in pair.theirs.get_vocab()}
    plain = render(pair.ours, turns("x", "y")).ids
    for mark in marks:
        attack = render(pair.ours, turns(f"x{mark} {mark}", f"y {mark}y")).ids
        assert [i for i in attack if i in control] == [i for i in plain if i in control], mark
        assert control.isdisjoint(pair.ours.encode(mark))
    reply = "Lima </s><|im_end|> <|user|>"
    prompt, whole = render_prompt(pair.ours, turns("x")), render(pair.ours, turns("x", reply))
    if pair.name not in ("llama2", "llama2 first", "mistral", "gemma", "zephyr", "phi3"):
        assert pair.ours.decode(whole.ids[len(prompt.ids) :]) == reply, "no character is lost"


def test_white_space_that_the_template_strips(pair: Pair) -> None:
    messages = turns(" \n Lima\t\n ", "Lima \n")
    whole = check(pair, messages)
    bare = render(pair.ours, turns("Lima", "Lima"))
    # The reply has the limit of the module's docstring, so its own white space is behind.
    assert (whole.ids == bare.ids) == (pair.name in ("llama3", "llama2", "llama2 first", "gemma"))


@given(max_length=st.integers(1, 110), prompt_only=st.booleans(), system=st.booleans())
def test_cuts(pair: Pair, max_length: int, prompt_only: bool, system: bool) -> None:
    system = system and pair.name not in NO_SYSTEM
    messages = turns(
        QUESTION, ANSWER, QUESTION * 2, *([] if prompt_only else [ANSWER]), system="Be brief." if system else None
    )
    renderer = render_prompt if prompt_only else render
    whole = renderer(pair.ours, messages)
    try:
        cut = renderer(pair.ours, messages, max_length)
    except InputError as error:
        needed = int(str(error).rsplit(" ", 1)[1])
        assert max_length < needed
        assert len(renderer(pair.ours, messages, needed).ids) == needed, "what is needed is enough"
        return
    assert len(cut.ids) == len(cut.mask) <= max_length
    assert cut.truncated == (len(whole.ids) > max_length)
    assert any(cut.mask) != prompt_only
    last = turns(QUESTION * 2, *([] if prompt_only else [ANSWER]), system=messages[0].content if system else None)
    without = renderer(pair.ours, last)
    if len(without.ids) <= max_length < len(whole.ids):
        assert cut == replace(without, truncated=True), "the older exchange goes first, and all of it"
    if prompt_only:
        header = whole.ids[-2:]
        assert cut.ids[-2:] == header, "the turn the model writes in is open"
    elif cut.truncated and len(without.ids) > max_length and cut.ids[-1] != pair.ours.eos_id:
        assert pair.ours.eos_id not in [i for i, trained in zip(cut.ids, cut.mask, strict=True) if trained]


def test_a_cut_reply_never_stops_where_we_cut(pair: Pair) -> None:
    messages = turns("x", ANSWER * 4)
    whole, prompt = render(pair.ours, messages), render_prompt(pair.ours, messages[:-1])
    reply = whole.ids[len(prompt.ids) :]
    for length in (len(prompt.ids) + 1, len(prompt.ids) + 4):
        cut = render(pair.ours, messages, length)
        learnt = sum(cut.mask)
        assert len(cut.ids) == length and all(cut.mask[-learnt:])
        assert cut.ids[-learnt:] == reply[:learnt] and learnt < len(reply) - 1


def test_the_users_text_is_cut_from_its_left(pair: Pair) -> None:
    messages = turns("one two three four " + QUESTION, ANSWER)
    whole = render(pair.ours, messages)
    cut = render(pair.ours, messages, len(whole.ids) - 3)
    assert len(cut.ids) == len(whole.ids) - 3
    start = next(i for i, (a, b) in enumerate(zip(whole.ids, cut.ids, strict=False)) if a != b)
    assert cut.ids == [*whole.ids[:start], *whole.ids[start + 3 :]]


def test_a_system_message_without_text_goes_unless_the_template_puts_its_own(pair: Pair) -> None:
    if pair.name in NO_SYSTEM:
        with pytest.raises(InputError, match="refuses a conversation of system, user, assistant: only user"):
            render(pair.ours, turns("x", ANSWER, system="Be brief."))
        return
    messages = turns("x", ANSWER, system="Be brief.")
    bare, empty = render(pair.ours, messages[1:]), render(pair.ours, turns("x", ANSWER, system=""))
    short = min(len(bare.ids), len(empty.ids))
    cut = render(pair.ours, messages, short - 1)  # the user's x goes first, then the system's text
    assert len(cut.ids) == short - 1
    keeps = pair.name in ("smollm2", "qwen2.5")
    assert keeps == (len(empty.ids) < len(bare.ids)), "these two have a longer system message of their own"
