"""Datasets of the Hugging Face hub, through the library `datasets`, which is optional.

A name is ``owner/name[@revision][:config][/split]``, with or without ``hf://datasets/`` before it;
``hf://datasets/owner/name/path/file.jsonl`` is one file of a dataset. Without a split it is "train" if there is
such a one, or the only one there is. A file or directory of that name on this machine comes first.

A dataset's own code never runs: `datasets` has had no way to run any since version 4, older versions are refused,
and what it wants to read must be one of its own plain formats.
"""

import importlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.feedback.readers.places import Place
from preceptor.feedback.readers.tables import present

FIRST_SAFE_VERSION = 4
PLAIN_FORMATS = ("json", "csv", "parquet", "arrow", "text", "cache")
FILE_ENDINGS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".gz", ".zst", ".txt", ".zip", ".ndjson", ".md")
_NAME = re.compile(
    r"(?P<id>[\w][\w.-]*/[\w][\w.-]*)(?:@(?P<revision>[\w.-]+))?(?::(?P<config>[^/:]+))?(?:/(?P<split>[\w.-]+))?"
)
_FILE = re.compile(r"(?P<id>[\w][\w.-]*/[\w][\w.-]*)(?:@(?P<revision>[\w.-]+))?/(?P<file>.+)")
INSTALL = "pip install 'preceptor[hub]'"
FORM = "owner/name[@revision][:config][/split]"


@dataclass(frozen=True)
class HubName:
    """A dataset, or one file of it if ``file`` is given."""

    id: str
    revision: str | None = None
    config: str | None = None
    split: str | None = None
    file: str | None = None
    sure: bool = True  # said so by hf://; else it may be the path of a file that is missing

    def __str__(self) -> str:
        marked = (("@", self.revision), (":", self.config), ("/", self.split), ("/", self.file))
        return f"hf://datasets/{self.id}" + "".join(mark + part for mark, part in marked if part)


def parse(source: Path) -> HubName | None:
    """The dataset that ``source`` names, or None if it is a path."""
    text = source.as_posix()
    explicit = re.fullmatch(r"hf:/+(?P<kind>[^/]*)/?(?P<rest>.*)", text)  # a Path keeps one of the two slashes
    if explicit is None:
        match = _NAME.fullmatch(text)
        if match is None or text.endswith(FILE_ENDINGS) or source.exists():
            return None
        return HubName(match["id"], match["revision"], match["config"], match["split"], sure=False)
    rest = explicit["rest"]
    is_file = rest.endswith(FILE_ENDINGS) and rest.count("/") > 1
    match = (_FILE if is_file else _NAME).fullmatch(rest) if explicit["kind"] == "datasets" else None
    if match is None or ".." in rest.split("/"):
        raise InputError(f"{text.replace('hf:/', 'hf://', 1)}: give a dataset as hf://datasets/{FORM} or a file in it")
    if is_file:
        return HubName(match["id"], match["revision"], file=match["file"])
    return HubName(match["id"], match["revision"], match["config"], match["split"])


def download(name: HubName) -> Path:
    """One file of a dataset, from the cache or the hub."""
    library = _library("huggingface_hub", name)
    try:
        return Path(library.hf_hub_download(name.id, name.file, repo_type="dataset", revision=name.revision))
    except Exception as error:
        raise _failure(name, error) from None


def rows(name: HubName) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The rows of a dataset's split. `datasets` keeps what it downloads; HF_HUB_OFFLINE=1 reads only that."""
    library = _library("datasets", name)
    if int(library.__version__.split(".")[0]) < FIRST_SAFE_VERSION:
        raise InputError(
            f"{name}: datasets {library.__version__} may run a dataset's own code; "
            f"install version {FIRST_SAFE_VERSION} or newer: {INSTALL}"
        )
    try:
        builder = library.load_dataset_builder(name.id, name=name.config, revision=name.revision)
        plain = re.fullmatch(r"datasets\.packaged_modules\.(\w+)(\.\w+)?", type(builder).__module__)
        if plain is None or plain[1] not in PLAIN_FORMATS:
            raise InputError(f"{name}: is not made of {', '.join(PLAIN_FORMATS[:-1])} files, and no other kind is read")
        builder.download_and_prepare()
        table = builder.as_dataset(split=_split(name, list(builder.info.splits or {})))
    except InputError:
        raise
    except Exception as error:
        raise _failure(name, error) from None
    for number, row in enumerate(table, start=1):
        yield Place(str(name), number, is_row=True), present(dict(row))


def _split(name: HubName, splits: list[str]) -> str:
    if name.split in splits:
        return str(name.split)
    if name.split is None and ("train" in splits or len(splits) == 1):
        return "train" if "train" in splits else splits[0]
    what = f"has no split {name.split!r}" if name.split else "has several splits"
    raise InputError(f"{name}: {what}; name one of {', '.join(splits) or '(none)'} as {FORM}")


def _library(module: str, name: HubName) -> Any:
    try:
        library = importlib.import_module(module)
    except ImportError:
        what = "is a dataset of the hub" if name.sure else "no such file; if it is meant as a dataset of the hub"
        raise InputError(f"{name if name.sure else name.id}: {what}, install what reads those: {INSTALL}") from None
    for logger in ("huggingface_hub", "datasets"):  # five lines on each try again would bury the one that counts
        logging.getLogger(logger).setLevel(logging.ERROR)
    return library


def _failure(name: HubName, error: Exception) -> InputError:
    """What went wrong, in one line, whatever the library raised. Its message is of several lines, the first says it."""
    if isinstance(error, OSError) and error.errno == 28:  # a full disk is no fault of the name
        raise error
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    known = {
        "DatasetNotFoundError": "check the name; for a private or gated dataset, accept its terms and log in",
        "RepositoryNotFoundError": "check the name; for a private or gated dataset, accept its terms and log in",
        "GatedRepoError": "accept the dataset's terms on its page and log in",
        "EntryNotFoundError": "check the path of the file",
        "RevisionNotFoundError": "check the revision",
        "DataFilesNotFoundError": "it has no data files of a plain format",
        "ConnectionError": "check the network, or unset HF_HUB_OFFLINE; what was downloaded once is read offline",
        "OfflineModeIsEnabled": "check the network, or unset HF_HUB_OFFLINE; what was downloaded once is read offline",
        "LocalEntryNotFoundError": "check the network, or unset HF_HUB_OFFLINE",
    }
    kinds = [kind.__name__ for kind in type(error).__mro__]
    mend = next((known[kind] for kind in kinds if kind in known), f"give it as {FORM}")
    missing = "" if name.sure else f"no such file {name.id}, and "
    return InputError(f"{name}: {missing}the hub does not give it ({first[:200].rstrip('.')}); {mend}")
