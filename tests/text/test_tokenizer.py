"""The tokenizer: special tokens nobody can type, any text there and back, the same training every time."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.keyed import numpy_rng
from preceptor.text.tokenizer import MIN_VOCAB_SIZE, SPECIALS, Tokenizer

from .conftest import SAMPLE

# Text that attacks the special tokens, mixed with any text at all (st.text never makes lone surrogates).
texts = st.lists(st.one_of(st.text(), st.sampled_from([*SPECIALS, "<|", "|>", "<|us", "er|>", "{{", "\r\n"]))).map(
    "".join
)


def test_the_specials_are_distinct_and_first(tokenizer: Tokenizer) -> None:
    roles = tokenizer.role_ids
    assert list(roles) == ["system", "user", "assistant"]
    ids = [tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, *roles.values(), tokenizer.mask_id]
    assert ids == list(range(7))
    assert len(set(SPECIALS)) == 7


@given(text=texts)
def test_any_text_comes_back_and_has_no_special_token(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(len(SPECIALS) <= token < tokenizer.vocab_size for token in ids)


@given(batch=st.lists(texts, max_size=4))
def test_a_batch_is_encoded_as_one_by_one(tokenizer: Tokenizer, batch: list[str]) -> None:
    assert tokenizer.encode_batch(batch) == [tokenizer.encode(text) for text in batch]


def test_decode_skips_specials(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.bos_id, *tokenizer.encode("Paris."), tokenizer.eos_id, tokenizer.pad_id]
    assert tokenizer.decode(ids) == "Paris."


def test_decode_replaces_what_is_no_utf8(tokenizer: Tokenizer) -> None:
    (first, *_) = Tokenizer.train(["a"], MIN_VOCAB_SIZE).encode("é")
    assert tokenizer.decode([first]) == "\ufffd"


@pytest.mark.parametrize("marker", SPECIALS)
def test_markers_in_the_training_text_do_not_become_the_specials(marker: str) -> None:
    trained = Tokenizer.train([f"{marker}{marker} x{marker}y " * 200], 400)
    ids = trained.encode(marker)
    assert len(ids) > 1 and min(ids) >= len(SPECIALS)
    assert trained.decode(ids) == marker


def test_save_and_load_change_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "new" / "place")
    loaded = Tokenizer.load(tmp_path / "new" / "place")
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.vocab_size == tokenizer.vocab_size == 400
    for text in SAMPLE[:5]:
        assert loaded.encode(text) == tokenizer.encode(text)


def test_saving_keeps_the_other_files_of_a_model(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    tokenizer.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_other_training_has_another_fingerprint(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.fingerprint) == 64
    assert Tokenizer.train(SAMPLE, 399).fingerprint != tokenizer.fingerprint
    assert Tokenizer.train(SAMPLE[1:4], 400).fingerprint != tokenizer.fingerprint


def test_training_is_the_same_in_another_process_with_other_threads(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert Tokenizer.train(iter(SAMPLE), 400).fingerprint == tokenizer.fingerprint
    (tmp_path / "sample.json").write_text(json.dumps(SAMPLE))
    code = (
        "import json, pathlib, sys; from preceptor.text.tokenizer import Tokenizer;"
        "print(Tokenizer.train(json.loads(pathlib.Path(sys.argv[1]).read_text()), 400).fingerprint)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    for threads in ("1", "3"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "sample.json")],
            env={**environment, "RAYON_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == tokenizer.fingerprint


def test_a_megabyte_is_trained_on_in_seconds_and_twice_the_same() -> None:
    rng = numpy_rng(0, "words")
    words = ["".join(rng.choice(list("abcdefghijklmnop"), size=rng.integers(2, 9))) for _ in range(3000)]
    documents = [" ".join(words[i] for i in rng.zipf(1.3, size=150) % len(words)) for _ in range(1500)]
    assert sum(map(len, documents)) > 1_000_000
    start = time.perf_counter()
    first = Tokenizer.train(documents, 1536)
    seconds = time.perf_counter() - start
    assert seconds < 10  # 0.3 s when nothing else runs
    assert first.vocab_size == 1536
    assert Tokenizer.train(documents, 1536).fingerprint == first.fingerprint


def test_a_small_text_gives_a_smaller_vocabulary() -> None:
    assert Tokenizer.train(["ab"], 5000).vocab_size < 300


@pytest.mark.parametrize("text", ["x\ud800", "\udfff"])
def test_half_a_surrogate_pair_is_a_clear_error(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(InputError, match="surrogate"):
        tokenizer.encode(text)
    with pytest.raises(InputError, match="surrogate"):
        tokenizer.encode_batch(["fine", text])
    with pytest.raises(InputError, match="surrogate"):
        Tokenizer.train(["fine", text], 300)


def test_bad_training_input_is_a_clear_error() -> None:
    with pytest.raises(InputError, match="at least 263"):
        Tokenizer.train(["text"], 262)
    with pytest.raises(InputError, match="no text"):
        Tokenizer.train([], 300)
    with pytest.raises(InputError, match="no text"):
        Tokenizer.train(["", ""], 300)


def test_bad_directories_are_clear_errors(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="not a tokenizer"):
        Tokenizer.load(tmp_path)
    tokenizer.save(tmp_path)
    saved = json.loads((tmp_path / "tokenizer.json").read_text())
    saved["added_tokens"][4]["special"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(saved))
    with pytest.raises(InputError, match=r"token 4 is not the special <\|user\|>"):
        Tokenizer.load(tmp_path)
