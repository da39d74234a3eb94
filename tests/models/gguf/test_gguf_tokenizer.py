"""The tokenizer in a GGUF file: the same ids as the rule it stands for, and text that comes back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preceptor.models.gguf.convert import convert_gguf

VOCAB = 300


@pytest.fixture
def read(example: Callable[[str], Any], gguf_file: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """read(name="llama", **metadata): the directory of a converted file."""

    def make(name: str = "llama", **metadata: Any) -> Path:
        convert_gguf(gguf_file(example(name), **metadata), tmp_path / "model")
        return tmp_path / "model"

    return make


def pieces(directory: Path, text: str) -> list[str]:
    backend = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    return backend.encode(text, add_special_tokens=False).tokens


def test_byte_level_merges_and_added_tokens(read: Callable[..., Path]) -> None:
    directory = read()
    assert pieces(directory, "in the 123é<think><|user|>") == [
        "in", "Ġthe", "Ġ", "123", "Ã", "©", "<think>", "<|user|>",
    ]  # fmt: skip
    backend = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    backend.encode_special_tokens = True
    assert "<|user|>" not in backend.encode("<|user|>").tokens, "nobody can type a control token"
    assert backend.get_vocab_size() == VOCAB
    for text in ("naïve 日本\n\t x", " ", "😀"):
        assert backend.decode(backend.encode(text).ids) == text


@pytest.mark.parametrize(
    ("pre", "words"),
    [
        ("gpt-2", ["I", "'ll", "Ġpay", "Ġ12345", ",", "ĠSir", "!!", "Ċ"]),
        ("smollm", ["I", "'ll", "Ġpay", "Ġ", "1", "2", "3", "4", "5", ",", "ĠSir", "!!", "Ċ"]),
        ("llama-bpe", ["I", "'ll", "Ġpay", "Ġ", "123", "45", ",", "ĠSir", "!!Ċ"]),
        ("qwen2", ["I", "'ll", "Ġpay", "Ġ", "1", "2", "3", "4", "5", ",", "ĠSir", "!!Ċ"]),
    ],
)
def test_text_is_split_as_the_file_says(pre: str, words: list[str], read: Callable[..., Path]) -> None:
    backend = tokenizers.Tokenizer.from_file(str(read(tokenizer__ggml__pre=pre) / "tokenizer.json"))
    assert [word for word, _ in backend.pre_tokenizer.pre_tokenize_str("I'll pay 12345, Sir!!\n")] == words


def test_transformers_loads_tokens_and_template(read: Callable[..., Path]) -> None:
    loaded = transformers.AutoTokenizer.from_pretrained(read(tokenizer__ggml__add_bos_token=True))
    assert (loaded.bos_token, loaded.eos_token, loaded.pad_token) == ("<|end|>", "<|end|>", "<|pad|>")
    assert loaded("the").input_ids[0] == loaded.bos_token_id
    rendered = loaded.apply_chat_template([{"role": "user", "content": "in"}], tokenize=False)
    assert rendered == "<|user|>in<|end|>"


WORDS = {"▁": -9.0, "a": -7.0, "b": -7.5, "c": -8.0, "ab": -2.0, "bc": -1.0, "▁a": -3.0, "abc": -4.0, "▁ab": -2.5,
         "cc": -1.5, "▁▁": -5.0, "bcc": -0.5}  # fmt: skip


def sentencepiece(**changes: Any) -> dict[str, Any]:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *WORDS]
    spare = [f"<spare{i}>" for i in range(VOCAB - len(tokens))]
    return {
        "tokenizer__ggml__model": "llama", "tokenizer__ggml__tokens": tokens + spare, "tokenizer__ggml__merges": None,
        "tokenizer__ggml__scores": [0.0] * 259 + [*WORDS.values()] + [-99.0] * len(spare),
        "tokenizer__ggml__token_type": [2, 3, 3] + [6] * 256 + [1] * len(WORDS) + [5] * len(spare),
        "tokenizer__ggml__bos_token_id": 1, "tokenizer__ggml__eos_token_id": 2, "tokenizer__ggml__unknown_token_id": 0,
        "tokenizer__ggml__padding_token_id": 0, **changes,
    }  # fmt: skip


def by_hand(text: str) -> list[str]:
    """SentencePiece's rule: of all neighbours join those whose whole scores best, the leftmost first."""
    parts = list(text.replace(" ", "▁"))
    while True:
        joined = [(-WORDS[whole], i) for i in range(len(parts) - 1) if (whole := parts[i] + parts[i + 1]) in WORDS]
        if not joined:
            return parts
        _, at = min(joined)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="abc ", max_size=14))
def test_sentencepiece_merges_by_score(text: str, spm: tokenizers.Tokenizer) -> None:
    assert spm.encode(text, add_special_tokens=False).tokens == by_hand(text)


@pytest.fixture(scope="module")
def spm(tmp_path_factory: pytest.TempPathFactory) -> tokenizers.Tokenizer:
    """A SentencePiece-like tokenizer that puts no space before the text."""
    from preceptor.models.gguf.tokenizer import write_tokenizer

    said = {key.replace("__", "."): value for key, value in sentencepiece().items()}
    said["tokenizer.ggml.add_space_prefix"] = False

    class File:
        path, architecture = Path("made.gguf"), "llama"

        def get(self, key: str, default: Any = None) -> Any:
            return default if said.get(key) is None else said[key]

        need = get

    directory = tmp_path_factory.mktemp("spm")
    write_tokenizer(File(), directory)  # type: ignore[arg-type]
    return tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))


def test_sentencepiece_prefix_bytes_and_text_that_comes_back(read: Callable[..., Path]) -> None:
    directory = read(**sentencepiece())
    assert pieces(directory, "abc é") == ["▁a", "bc", "▁", "<0xC3>", "<0xA9>"]
    assert pieces(directory, "<s>")[0] == "<s>", "a chat template may write it"
    loaded = transformers.AutoTokenizer.from_pretrained(directory)
    ids = loaded("a bé 日\n").input_ids
    assert ids[0] == loaded.bos_token_id == 1, "on unless the file says otherwise"
    assert loaded.decode(ids, skip_special_tokens=True) == "a bé 日\n"


def test_gemma_merges_by_id_and_its_spaces_are_spelled_out(read: Callable[..., Path]) -> None:
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words = ["ab", "bc", "\u2581\u2581a", "\u2581", "a", "b", "c", "  ", "<turn>", "\n"]
    spare = [f"<spare{i}>" for i in range(VOCAB - len(tokens) - len(words))]
    kinds = [3] * 4 + [6] * 256 + [1] * 7 + [4, 4, 1] + [5] * len(spare)
    directory = read(
        "gemma3",
        **sentencepiece(
            tokenizer__ggml__tokens=tokens + words + spare,
            tokenizer__ggml__token_type=kinds,
            tokenizer__ggml__scores=[float(i) for i in range(VOCAB)],  # which would join bc before ab
            tokenizer__ggml__add_space_prefix=False,
            tokenizer__ggml__bos_token_id=2,
        ),
    )
    assert pieces(directory, "abc  a<turn>\n") == ["ab", "c", "▁▁a", "<turn>", "\n"]
    loaded = transformers.AutoTokenizer.from_pretrained(directory)
    assert loaded.decode(loaded("b  c").input_ids, skip_special_tokens=True) == "b  c"
