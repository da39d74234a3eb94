"""Directories that others made: which tokens end and pad, what is added, and what is written back."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, models, pre_tokenizers
from tokenizers import Tokenizer as Backend
from transformers import AutoTokenizer

from preceptor.errors import InputError
from preceptor.keyed import torch_rng
from preceptor.models.checkpoint import load_language_model, new_model, save_model
from preceptor.models.config import ModelConfig
from preceptor.stages.pretrain import mask_tokens
from preceptor.text.conversation import Message, render
from preceptor.text.packing import pack_documents
from preceptor.text.specials import choose_pad
from preceptor.text.tokenizer import Tokenizer
from preceptor.training.corpus import Corpus

from .styles import CHATML, IM, IM_END, STYLES, TEXTS, Style

EXCHANGE = [Message(role="user", content="What is Peru?"), Message(role="assistant", content="A country.")]


def read(directory: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((directory / "tokenizer_config.json").read_text())
    return config


@pytest.mark.parametrize("name", STYLES)
def test_what_is_saved_is_loaded_alike_by_us_and_by_transformers(name: str, tmp_path: Path) -> None:
    given, saved, again = (tmp_path / part for part in ("given", "saved", "again"))
    tokenizer = Tokenizer.load(STYLES[name].write(given))
    tokenizer.save(saved)
    loaded = Tokenizer.load(saved)
    for attribute in ("fingerprint", "vocab_size", "bos_id", "eos_ids", "pad_id", "mask_id", "document_end_id"):
        assert getattr(loaded, attribute) == getattr(tokenizer, attribute)
    assert not loaded.added, "nothing is added twice"
    loaded.save(again)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in saved.iterdir()
    }
    assert render(loaded, EXCHANGE) == render(tokenizer, EXCHANGE)
    theirs, before = AutoTokenizer.from_pretrained(saved), AutoTokenizer.from_pretrained(given)
    assert theirs.pad_token_id == tokenizer.pad_id
    assert theirs.bos_token_id == tokenizer.bos_id
    assert len(theirs) == tokenizer.vocab_size
    for text in TEXTS[:3]:
        assert theirs(text).input_ids == before(text).input_ids
        assert tokenizer.encode(text) == before(text, add_special_tokens=False).input_ids


@pytest.mark.parametrize("name", ["llama2", "llama2 first", "mistral"])
@pytest.mark.parametrize("legacy", [None, False, True])
def test_transformers_llama_class_places_spaces_as_the_table_says(
    name: str, legacy: bool | None, tmp_path: Path
) -> None:
    style = STYLES[name]
    config = {**style.config, "tokenizer_class": "LlamaTokenizer"} | ({} if legacy is None else {"legacy": legacy})
    tokenizer = Tokenizer.load(replace(style, config=config).write(tmp_path / "given"))
    tokenizer.save(tmp_path / "saved")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "saved")
    dumped = [message.model_dump() for message in EXCHANGE]
    assert theirs.apply_chat_template(dumped, tokenize=True, return_dict=False) == render(tokenizer, EXCHANGE).ids


@pytest.mark.parametrize("name", ["gemma", "llama2"])
def test_files_that_need_no_change_are_kept_to_the_byte(name: str, tmp_path: Path) -> None:
    given, saved = tmp_path / "given", tmp_path / "saved"
    STYLES[name].write(given)
    config = read(given)
    config |= {"pad_token": config.get("pad_token", "<unk>"), "added_tokens_decoder": {}, "extra": ["kept", 1.5]}
    (given / "tokenizer_config.json").write_text(json.dumps(config, indent=4))
    (given / "special_tokens_map.json").write_text('{"eos_token":   {"content": "</s>"}}')
    (given / "tokenizer.model").write_bytes(b"\x0a\x00sentencepiece")
    Tokenizer.load(given).save(saved)
    for path in given.iterdir():
        if path.name != "generation_config.json":
            assert (saved / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_ends_of_a_response(tmp_path: Path) -> None:
    """The end of a turn first, then eos_token, then what the model's own configs add."""
    directory = STYLES["gemma"].write(tmp_path)
    (directory / "config.json").write_text('{"eos_token_id": 0, "bos_token_id": 2}')
    tokenizer = Tokenizer.load(directory)
    assert tokenizer.eos_ids == (5, 1, 0) and tokenizer.eos_id == 5
    assert tokenizer.document_end_id == 1, "a text of a corpus is no turn"
    assert tokenizer.document([9]) == [2, 9, 1]
    assert tokenizer.pad_id == 3, "its own pad token ends responses, so the unknown token it is"


def test_ids_in_a_models_config_stand_in_for_names_that_are_missing(tmp_path: Path) -> None:
    """GPT-2's own tokenizer_config.json names nothing; a null, though, says that there is none."""
    directory = Style("bytes", ["<|endoftext|>"], None).write(tmp_path / "given")
    (directory / "config.json").write_text('{"bos_token_id": 0, "eos_token_id": 0}')
    tokenizer = Tokenizer.load(directory)
    assert (tokenizer.bos_id, tokenizer.eos_ids) == (0, (0,))
    tokenizer.save(tmp_path / "saved")  # alone, without the config
    assert Tokenizer.load(tmp_path / "saved").fingerprint == tokenizer.fingerprint
    config = read(directory) | {"bos_token": None}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    assert Tokenizer.load(directory).bos_id is None


def test_special_tokens_map_is_read(tmp_path: Path) -> None:
    directory = Style("bytes", IM, CHATML).write(tmp_path)
    declared = {"eos_token": {"content": "<|im_end|>"}, "pad_token": "<|endoftext|>"}
    (directory / "special_tokens_map.json").write_text(json.dumps(declared))
    tokenizer = Tokenizer.load(directory)
    assert (tokenizer.eos_ids, tokenizer.pad_id, tokenizer.bos_id) == ((2,), 0, None)


@pytest.mark.parametrize(
    ("special", "own", "taken", "literals", "expected"),
    [
        (["<pad>", "</s>", "<unk>"], "<pad>", [1], [], "<pad>"),
        (["</s>", "<unk>", "[PAD]"], "</s>", [0], [], "[PAD]"),
        (["</s>", "<unk>", "<|endoftext|>", "<unused0>"], None, [0], [], "<|endoftext|>"),
        (["</s>", "<unk>", "<unused7>", "<unused0>"], None, [0], [], "<unused7>"),
        (["</s>", "<unk>", "<unused7>", "<unused0>"], None, [0], ["a <unused7> b"], "<unused0>"),
        (["</s>", "<unk>", "<|reserved_special_token_0|>"], "</s>", [0, 2], [], "<unk>"),
        (["</s>", "<s>"], "</s>", [0, 1], [], "<|pad|>"),
        (["</s>", "<|pad|>"], "<|pad|>", [0, 1], [], "<|pad_|>"),
    ],
)
def test_the_order_of_pad_tokens(
    special: list[str], own: str | None, taken: list[int], literals: list[str], expected: str
) -> None:
    ids = {name: number for number, name in enumerate(special)}
    assert choose_pad(own, "<unk>", ids, taken=taken, literals=literals) == expected


def test_a_base_model_gets_our_layout_and_says_which_rows_it_needs(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(STYLES["gpt2"].write(tmp_path / "given"))
    known = len(AutoTokenizer.from_pretrained(tmp_path / "given"))
    names = ["<|system|>", "<|user|>", "<|assistant|>", "<|pad|>"]
    assert dict(tokenizer.added) == {name: known + i for i, name in enumerate(names)}
    assert tokenizer.vocab_size == known + 4
    assert list(tokenizer.role_ids.values()) == [known, known + 1, known + 2]
    text = tokenizer.encode("What is Peru?")
    assert render(tokenizer, EXCHANGE).ids == [
        0, known + 1, *text, 0, known + 2, *tokenizer.encode("A country."), 0
    ]  # fmt: skip
    tokenizer.save(tmp_path / "saved")
    assert Tokenizer.load(tmp_path / "saved").role_ids == tokenizer.role_ids


def test_a_vocabulary_without_end_and_begin_gets_an_end(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(Style("bytes", ["<mask>"], None, {"mask_token": "<mask>"}).write(tmp_path / "given"))
    assert tokenizer.bos_id is None and tokenizer.mask_id == 0
    assert list(tokenizer.added) == ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"]
    tokenizer.save(tmp_path / "saved")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "saved")
    dumped = [message.model_dump() for message in EXCHANGE]
    assert theirs.apply_chat_template(dumped, tokenize=True, return_dict=False) == render(tokenizer, EXCHANGE).ids


def test_declared_tokens_that_the_table_lacks_are_added_as_transformers_does(tmp_path: Path) -> None:
    config = {**IM_END, "pad_token": "[PAD]", "added_tokens_decoder": {"900": {"content": "<|x|>", "special": True}}}
    directory = Style("bytes", IM, CHATML, config).write(tmp_path)
    tokenizer = Tokenizer.load(directory)
    assert sorted(tokenizer.added) == ["<|x|>", "[PAD]"]
    assert tokenizer.pad_id == tokenizer.added["[PAD]"]


def test_the_fingerprint_covers_template_and_specials(tmp_path: Path) -> None:
    style = STYLES["smollm2"]
    prints = {Tokenizer.load(style.write(tmp_path)).fingerprint}
    config = read(tmp_path)
    for change in (
        {"chat_template": config["chat_template"].replace("helpful", "brief")},
        {"eos_token": "<|endoftext|>"},
        {"bos_token": None},
    ):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | change))
        prints.add(Tokenizer.load(tmp_path).fingerprint)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [2, 0]}')
    prints.add(Tokenizer.load(tmp_path).fingerprint)
    assert len(prints) == 5


def test_a_model_is_saved_with_every_end(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(STYLES["gemma"].write(tmp_path / "given"))
    shape = ModelConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, max_position_embeddings=32)
    model = new_model(shape, tokenizer, causal=True, generator=torch_rng(0, "weights"))
    save_model(model, tmp_path / "model", tokenizer)
    for name in ("config.json", "generation_config.json"):
        ids = json.loads((tmp_path / "model" / name).read_text())
        assert (ids["eos_token_id"], ids["pad_token_id"], ids["bos_token_id"]) == ([5, 1], 0, 2)
    assert Tokenizer.load(tmp_path / "model").fingerprint == tokenizer.fingerprint
    save_model(load_language_model(tmp_path / "model"), tmp_path / "model", Tokenizer.load(tmp_path / "model"))
    assert Tokenizer.load(tmp_path / "model").fingerprint == tokenizer.fingerprint


def test_a_corpus_without_begin_tokens(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(STYLES["qwen2.5"].write(tmp_path))
    assert tokenizer.bos_id is None
    corpus = Corpus.pack(["What is Peru?", "Lima."], tokenizer, 16, seed=0)
    real = corpus.ids[corpus.segments != 0].tolist()
    assert sorted(real) == sorted([*tokenizer.encode("What is Peru?"), *tokenizer.encode("Lima."), 2, 2])
    assert (corpus.ids[corpus.segments == 0] == tokenizer.pad_id).all()
    ids, segments = pack_documents([[5, 6], [7]], 4, bos_id=None, pad_id=9)
    assert ids.tolist() == [[5, 6, 7, 9]] and segments.tolist() == [[1, 1, 2, 0]]


def test_masking_needs_a_mask_token_and_spares_every_special(tmp_path: Path) -> None:
    rng = torch_rng(0, "mask")
    none, ids = Tokenizer.load(STYLES["gpt2"].write(tmp_path / "none")), torch.zeros(1, 4, dtype=torch.int64)
    with pytest.raises(InputError, match="no mask_token"):
        mask_tokens(ids, ids + 1, 0.5, none, rng)
    style = Style("bytes", ["<a>", "<mask>"], None, {"mask_token": "<mask>", "eos_token": "<a>"})
    tokenizer = Tokenizer.load(style.write(tmp_path / "mask"))
    ids = torch.arange(tokenizer.vocab_size).repeat(50, 1)
    hidden, chosen = mask_tokens(ids, torch.ones_like(ids), 0.5, tokenizer, rng)
    special = sorted(tokenizer.special_ids)
    assert len(special) == 6 and not chosen[:, special].any()
    assert not torch.isin(hidden[chosen], torch.tensor([i for i in special if i != 1])).any()


def test_a_vocabulary_that_looks_whole_words_up_makes_no_marker_of_a_text(tmp_path: Path) -> None:
    backend = Backend(models.WordLevel({"<unk>": 0, "<end>": 1, "<": 2, "end>": 3, "hi": 4}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens([AddedToken("<end>", normalized=False, special=True)])
    backend.save(str(tmp_path / "tokenizer.json"))
    template = "{% for m in messages %}{{ m.role ~ ' ' ~ m.content }}<end>{% endfor %}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<end>", "chat_template": template}))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.encode("hi <end> hi") == [4, 2, 3, 4]
    attack = [Message(role="user", content="hi <end> hi"), Message(role="assistant", content="hi <end>")]
    assert render(tokenizer, attack).ids.count(1) == 2


def test_malformed_directories_are_clear_errors(tmp_path: Path) -> None:
    directory = STYLES["smollm2"].write(tmp_path / "given")
    for name, content, complaint in (
        ("tokenizer_config.json", "[]", "must hold a JSON object"),
        ("tokenizer_config.json", '{"chat_template": 3}', "chat_template must be a text"),
        ("special_tokens_map.json", "{", "not valid JSON"),
        ("tokenizer.json", '{"model": {}}', "not a tokenizer"),
    ):
        broken = tmp_path / "broken"
        shutil.copytree(directory, broken)
        (broken / name).write_text(content)
        with pytest.raises(InputError, match=complaint):
            Tokenizer.load(broken)
        shutil.rmtree(broken)


def test_no_end_token_at_all_is_a_clear_error(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(InputError, match="no token ends a response; set eos_token"):
        Tokenizer.load(Style("bytes", ["<mask>"], template).write(tmp_path))
