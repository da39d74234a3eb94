"""`preceptor prompts import`: files of prompts in, clean prompts by part out, with a report of what each rule took.

Prompts stream through a DuckDB file beside the output, rule by rule. What is finished there is kept through a kill:
the same command goes on. The output appears at once when all is done, and holds what is needed to know its prompts
again.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import preceptor
from preceptor.errors import InputError
from preceptor.feedback.hygiene import decisions
from preceptor.feedback.hygiene.examining import Setup, StoppedError, Workers, examine_chunk, languages_of_chunk
from preceptor.feedback.hygiene.language import Languages
from preceptor.feedback.hygiene.options import ImportOptions
from preceptor.feedback.hygiene.output import load_known, write_output
from preceptor.feedback.hygiene.pii.scanner import EXTRA, installed_models
from preceptor.feedback.hygiene.publishing import finish, publish
from preceptor.feedback.hygiene.reading import Tally, read_prompts
from preceptor.feedback.hygiene.reporting import build_report
from preceptor.feedback.hygiene.staging import LEFT, Staging
from preceptor.feedback.hygiene.use_cases import UseCases
from preceptor.feedback.readers.unpacking import PIECE_BYTES, open_file
from preceptor.files import read_json, write_json

Tell = Callable[[str, int, int | None], None]  # what is done, how far, of how many
FORMAT = 1
WORK = ".import"
KEPT_SETTINGS = ("seed", "parts", "prefix_words")  # what one directory must be of one mind about


def import_prompts(
    paths: Sequence[Path], out: Path, options: ImportOptions | None = None, tell: Tell = lambda *_: None
) -> dict[str, Any]:
    """Add the prompts of files to the directory ``out`` and return the report, which is there under ``reports/`` too.

    ``out`` then holds a file a part (``train.jsonl``, ...) in the documented format, ``index.parquet`` (the keys of
    what is in them), ``settings.json`` and, if personal data is flagged, ``findings.jsonl``. Bad input is an
    :class:`InputError` and leaves everything as it was.
    """
    options = ImportOptions() if options is None else options
    if options.names == "auto":
        options = options.model_copy(update={"names": min(installed_models(), default=None)})
    _check(options)
    fresh = not out.exists()
    _refuse_strangers(out)
    out.mkdir(parents=True, exist_ok=True)
    work = out / WORK
    try:
        with FileLock(out / ".lock", timeout=0):
            try:
                finish(work, out)
                report = _import(list(paths), out, work, options, tell)
            except StoppedError:  # what is done stays: the same command goes on
                raise
            except InputError:
                shutil.rmtree(work, ignore_errors=True)
                raise
    except Timeout:
        raise InputError(f"{out}: another import is writing there; wait until it is done") from None
    except InputError:
        if fresh and not work.exists():
            shutil.rmtree(out)
        raise
    return report


def _import(paths: list[Path], out: Path, work: Path, options: ImportOptions, tell: Tell) -> dict[str, Any]:
    settings = {"format": FORMAT, **{key: getattr(options, key) for key in KEPT_SETTINGS}}
    if (out / "settings.json").exists():
        _check_settings(out, settings)
    inputs = [_described(path) for path in paths]
    _resume(work, inputs, options)
    staging = Staging(work / "staging.duckdb")
    setup = Setup(options.pii, options.names, options.recognizers, options.use_cases)
    try:
        clock = Clock(tell)
        tally = _read(paths, staging, options, clock)
        _decide(staging, out, options, clock)
        workers = Workers(min(options.workers, staging.batches() * 4), setup, bool(options.languages))
        try:
            _examine(staging, workers, options, clock)
            clock.start("write")
            report = build_report(staging, tally, options, workers.shown)
        finally:
            workers.close()
        new = work / "new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        report = {"preceptor": preceptor.__version__, "inputs": inputs, **report}
        report["parts"] = write_output(staging, out, new, options)
        report["seconds"] = clock.stop()
        write_json(new / "settings.json", settings)
        number = 1 + max((int(path.stem) for path in (out / "reports").glob("[0-9]*.json")), default=0)
        write_json(new / "reports" / f"{number:04d}.json", report)
    finally:
        staging.close()
    publish(work, out)
    return report


class Clock:
    """How long each phase took, and who is told."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self._seconds: dict[str, float] = {}
        self._phase, self._began = "", time.monotonic()

    def start(self, phase: str, total: int | None = None) -> None:
        """Begin a phase; the one before ends."""
        now = time.monotonic()
        if self._phase:
            self._seconds[self._phase] = self._seconds.get(self._phase, 0.0) + now - self._began
        self._phase, self._began = phase, now
        self.tell(phase, 0, total)

    def stop(self) -> dict[str, float]:
        """End the last phase; the seconds of all."""
        self.start("")
        return {phase: round(seconds, 2) for phase, seconds in self._seconds.items()}


# the phases --------------------------------------------------------------------------------------


def _read(paths: list[Path], staging: Staging, options: ImportOptions, clock: Clock) -> Tally:
    """Put all prompts into the staging table. Once all are in, that is not done again."""
    clock.start("read")
    noted = staging.notes("read")
    if noted is not None:
        return Tally.from_json(noted)
    tally = Tally()
    prompts = read_prompts(paths, tally, name=options.format, user=options.user, max_characters=options.max_characters)
    for count in staging.stage(prompts, options.prefix_words, options.seed):
        clock.tell("read", count, None)
    decisions.check_ids(staging)
    staging.begin()
    staging.finish("read", tally.to_json())
    return tally


def _decide(staging: Staging, out: Path, options: ImportOptions, clock: Clock) -> None:
    """The rules that compare prompts with each other and with what is in the directory."""
    clock.start("compare")
    if staging.notes("known") is None:
        staging.begin()
        load_known(staging, out)
        staging.finish("known", 0)
        decisions.check_ids(staging)
    for rule, take in (
        ("take known", decisions.take_known),
        ("take duplicate", decisions.take_duplicates),
        ("take prefix", decisions.take_prefixes),
    ):
        if staging.notes(rule) is None:
            staging.begin()
            staging.finish(rule, take(staging))


def _examine(staging: Staging, workers: Workers, options: ImportOptions, clock: Clock) -> None:
    """The rules on one prompt alone, and the limit of a user, which comes last of those that take."""
    if options.languages:
        _each(staging, workers, languages_of_chunk, staging.insert_languages, "language", clock)
        _take(staging, "language", lambda: decisions.take_languages(staging, options.languages))
    if options.pii != "drop":
        _take(staging, "cap", lambda: decisions.take_over_cap(staging, options.per_user))
    _each(staging, workers, examine_chunk, staging.insert_examined, "examine", clock)
    if options.pii == "drop":
        _take(staging, "pii", lambda: decisions.take_found(staging))
        _take(staging, "cap", lambda: decisions.take_over_cap(staging, options.per_user))


def _take(staging: Staging, rule: str, take: Callable[[], int]) -> None:
    if staging.notes(f"take {rule}") is None:
        staging.begin()
        staging.finish(f"take {rule}", take())


def _each(staging: Staging, workers: Workers, function: Any, insert: Any, step: str, clock: Clock) -> None:
    """Apply ``function`` to every prompt that is left, and keep the results batch by batch."""
    total, done = staging.one(f"select count(*) from {LEFT}"), 0
    clock.start(step, total)
    for batch in range(staging.batches()):
        if staging.notes(f"{step} {batch}") is not None:
            continue
        staging.begin()
        for results in workers.map(function, staging.left(batch)):
            insert(results)
            done += len(results)
            clock.tell(step, done, total)
        staging.finish(f"{step} {batch}", 0)


# checks ------------------------------------------------------------------------------------------


def _check(options: ImportOptions) -> None:
    """Everything that can be seen to be wrong before anything is read."""
    UseCases(options.use_cases)
    if options.languages:
        unknown = sorted(set(options.languages) - Languages().known)
        if unknown:
            raise InputError(f"--languages: there is no language {unknown[0]!r}; use ISO 639 codes as en, de, zh")
    if options.pii == "off":
        return
    if find_spec("presidio_analyzer") is None:
        raise InputError(f"the search for personal data {EXTRA}; or leave it out by --pii off")
    if options.names is not None and not Path(options.names).is_dir() and options.names not in installed_models():
        raise InputError(f"--names {options.names}: no such spaCy model is installed, nor is there such a directory")
    if options.recognizers is not None:
        with open_file(options.recognizers):
            pass


def _refuse_strangers(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out}: is a file; name a directory")
    strangers = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
    if strangers and not (out / "settings.json").exists() and not (out / WORK).exists():
        raise InputError(f"{out}: holds {strangers[0]} but no imported prompts; name a new or an empty directory")


def _check_settings(out: Path, settings: dict[str, Any]) -> None:
    old = read_json(out / "settings.json")
    for key, value in settings.items():
        if old.get(key) != value:
            raise InputError(
                f"{out}: was begun with {key} = {json.dumps(old.get(key))}, and a user must not move; "
                "give the same, or another --out"
            )


def _described(path: Path) -> dict[str, Any]:
    """A file's name, size and content, by which an import knows whether it goes on with the same."""
    digest = hashlib.blake2b(digest_size=16)
    with open_file(path) as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return {"path": str(path), "bytes": path.stat().st_size, "blake2b": digest.hexdigest()}


def _resume(work: Path, inputs: list[dict[str, Any]], options: ImportOptions) -> None:
    """Keep what an import of the same files and settings has done, and nothing else."""
    files = [_described(path) for path in (options.recognizers, options.use_cases) if path is not None]
    fingerprint = json.loads(
        json.dumps([preceptor.__version__, inputs, files, options.model_dump(mode="json", exclude={"workers"})])
    )
    note = work / "fingerprint.json"
    if work.exists() and not (note.exists() and read_json(note) == fingerprint):
        shutil.rmtree(work)
    work.mkdir(exist_ok=True)
    write_json(note, fingerprint)
