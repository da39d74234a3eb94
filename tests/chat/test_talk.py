"""A conversation: pieces that add up to the reply, one key a reply, models that are changed under way."""

from collections.abc import Callable
from itertools import count, product
from pathlib import Path

import pytest

from preceptor.chat.talk import Talk, _trimmed
from preceptor.errors import InputError
from preceptor.generation.engine import generate
from preceptor.generation.sampling import SamplingConfig
from preceptor.models.checkpoint import open_language_model
from preceptor.text.conversation import Message, render_prompt

WARM = SamplingConfig(temperature=1.0, max_new_tokens=20, seed=3)
Models = dict[str, Path]


def roles(talk: Talk) -> str:
    return " ".join(message.role[0] for message in talk.messages)


def stop_after(pieces: int) -> Callable[[], bool]:
    asked = count()
    return lambda: next(asked) >= pieces


def test_the_pieces_are_the_reply_that_the_engine_makes_at_once(models: Models) -> None:
    talk = Talk(models, WARM)
    model, tokenizer = open_language_model(models["one"])
    for turn in range(2):
        pieces = list(talk.reply("Who?"))
        prompt = render_prompt(tokenizer, talk.messages[:-1]).ids
        ((whole,),) = generate(
            model, [prompt], WARM, eos_id=tokenizer.eos_ids, pad_id=tokenizer.pad_id, keys=[("chat", turn)]
        )
        assert "".join(pieces) == tokenizer.decode(whole.ids).strip() == talk.messages[-1].content
        assert len(pieces) > 3


def test_another_reply_takes_the_place_of_the_last(models: Models) -> None:
    talk = Talk(models, WARM)
    with pytest.raises(InputError, match="type a message first"):
        next(talk.again())
    first = "".join(talk.reply("Who?"))
    others = ["".join(talk.again()) for _ in range(3)]
    assert len({first, *others}) == 4
    assert roles(talk) == "u a" and talk.messages[-1].content == others[-1]
    again = Talk(models, WARM)
    assert "".join(again.reply("Who?")) == first and "".join(again.again()) == others[0]


def test_what_was_written_when_it_was_stopped_is_kept(models: Models) -> None:
    talk = Talk(models, WARM)
    whole = "".join(talk.reply("Who?"))
    talk.begin()
    assert not talk.started
    part = "".join(Talk(models, WARM).reply("Who?", stop_after(6)))
    assert part and whole.startswith(part) and len(part) < len(whole)
    assert "".join(talk.reply("Who?", stop_after(0))) == "" and roles(talk) == ""  # as if it had not been asked
    assert "".join(talk.reply("Who?", stop_after(6))) and roles(talk) == "u a"
    kept = talk.messages
    assert "".join(talk.again(stop_after(0))) == "" and talk.messages == kept
    assert "".join(talk.reply("And?")) and roles(talk) == "u a u a"  # nothing of the stopped ones is left in the engine


def test_another_model_goes_on_with_the_conversation(models: Models) -> None:
    talk = Talk(models, SamplingConfig(temperature=0, max_new_tokens=20))
    one = "".join(talk.reply("Who?"))
    talk.use("two")
    two = "".join(talk.again())
    assert one != two and talk.model == "two" and talk.messages[0] == Message(role="user", content="Who?")
    talk.use("one")
    assert "".join(talk.again()) == one
    with pytest.raises(InputError, match="there are: one, two"):
        talk.use("three")
    assert talk.model == "one"


def test_the_system_message_is_there_until_it_is_taken_away(models: Models) -> None:
    talk = Talk(models, WARM, system="Be brief.")
    for _ in talk.reply("Who?"):
        pass
    assert roles(talk) == "s u a"
    talk.system = None
    assert roles(talk) == "u a"
    for _ in talk.reply("Who?"):
        pass
    talk.system = "Be long."
    assert roles(talk) == "s u a u a"
    talk.begin()
    assert roles(talk) == "s"


def test_white_space_at_the_ends_is_held_back() -> None:
    for pieces in product(["", " ", "\n", "a", " a", "a  ", "a b"], repeat=4):
        said = ""
        for piece in _trimmed(pieces):
            said += piece
            assert piece and said == said.strip()
        assert said == "".join(pieces).strip()
