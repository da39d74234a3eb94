"""Plain text and zips of it."""

import io
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.feedback.readers import documents, read_documents
from preceptor.feedback.readers.documents import group_paragraphs


def make_zip(path: Path, **members: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_paragraphs_are_kept_whole_and_grouped() -> None:
    text = "one\nstill one\r\n\r\ntwo\n \t\n\n\nthree is too long to join them"
    assert list(group_paragraphs(text, 30)) == ["one\nstill one\n\ntwo", "three is too long to join them"]


def test_a_long_paragraph_is_cut_at_a_line_a_sentence_or_a_word() -> None:
    assert list(group_paragraphs("aaaa aaaa\nbbbb bbbb bbbb", 16)) == ["aaaa aaaa", "bbbb bbbb bbbb"]
    assert list(group_paragraphs("He ran off. She did not go.", 20)) == ["He ran off.", "She did not go."]
    assert list(group_paragraphs("x" * 250, 100)) == ["x" * 100, "x" * 100, "x" * 50]


@given(st.text(st.sampled_from("ab. \n"), max_size=300), st.integers(10, 60))
def test_no_word_is_lost_and_no_document_is_too_long(text: str, size: int) -> None:
    found = list(group_paragraphs(text, size))
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(0 < len(document) <= size for document in found)


def test_plain_text_zip_and_corpus(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("\ufeffHello.\n\nWorld.", encoding="utf-8")
    corpus = tmp_path / "corpus.anything"
    corpus.write_text('\n{"text": "first"}\n{"text": " ", "id": 1}\n{"text": "third\\n\\nparagraph"}\n')
    packed = make_zip(tmp_path / "z", **{"a/b.txt": "From a zip.", "README": "no", "__MACOSX/._b.txt": "no"})
    found = read_documents([plain, corpus, packed], 100)
    assert found.texts == ["Hello.\n\nWorld.", "first", "third\n\nparagraph", "From a zip."]
    assert found.undecodable_bytes == 0


def test_a_few_foreign_bytes_become_spaces_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes(b"a man\xa1\xa6s word " + b"and more of it " * 40)
    found = read_documents([path], 10_000)
    assert found.texts[0].startswith("a man s word")
    assert found.undecodable_bytes == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xe4\xf6\xfc\xe4\xf6\xfc", "not UTF-8; convert the file"),
        (b"PNG\0\0", "is not a text"),
        (b" \n\n ", "holds no text"),
        (b"", "holds no text"),
        (b'{"text": "ok"}\n{"text": 3}', r":2: text: .*a document is"),
        (b'{"text": "ok"}\nplain', r":2: not valid JSON"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected):
        read_documents([path], 100)


def test_missing_files_and_directories_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_documents([tmp_path / "none"], 100)
    with pytest.raises(InputError, match="is a directory"):
        read_documents([tmp_path], 100)


@pytest.mark.parametrize("name", ["../up.txt", "/etc/up.txt", "a/../../up.txt", "..\\up.txt", "C:\\up.txt"])
def test_a_zip_that_points_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="points outside"):
        read_documents([make_zip(tmp_path / "z.zip", **{"good.txt": "x", name: "y"})], 100)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link.txt")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match="points outside"):
        read_documents([tmp_path / "z.zip"], 100)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = make_zip(tmp_path / "z.zip", **{"a.txt": b" " * 3_000_000})
    with pytest.raises(InputError, match="unpacks to 3,000,000 bytes"):
        read_documents([bomb], 100)
    monkeypatch.setattr(documents, "MAX_UNPACKED_BYTES", 10)
    with pytest.raises(InputError, match="unpacks to 6 bytes"):
        read_documents([make_zip(tmp_path / "y.zip", **{"a.txt": "abcdef", "b.txt": "ghijkl"})], 100)
    monkeypatch.setattr(documents, "MAX_MEMBERS", 1)
    with pytest.raises(InputError, match="holds 2 files"):
        read_documents([tmp_path / "y.zip"], 100)


def test_a_zip_without_text_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.txt file"):
        read_documents([make_zip(tmp_path / "z.zip", **{"a.pdf": "x"})], 100)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "some words that are stored as they are")
    (tmp_path / "bad.zip").write_bytes(buffer.getvalue().replace(b"words", b"swords"[:5]))
    with pytest.raises(InputError, match="damaged"):
        read_documents([tmp_path / "bad.zip"], 100)
