"""``preceptor feedback``: files into a store and out of it; forgetting a person. Nothing heavy is loaded at the top."""

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from preceptor.errors import InputError

DATABASE = "an SQLite file, or postgresql://USER:PASSWORD@HOST/NAME"
# What a file holds is seen from the fields of its first line; an export's comparisons look like rankings.
FIELDS = {"ratings": {"overall"}, "rankings": {"ranks"}, "prompts": {"id", "user"}, "demonstrations": {"prompt_id"}}
ORDER = ("prompts", "demonstrations", "rankings", "comparisons", "ratings")


def add_feedback(verbs: Any) -> None:
    """Add the verb with its own verbs to the program's."""
    parser = verbs.add_parser(
        "feedback", help="move what people gave between files and a store, or forget somebody", description=__doc__
    )
    words = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    export = words.add_parser("export", help="write files in the documented formats", description=export_verb.__doc__)
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory to write")
    export.add_argument("--queue", metavar="NAME", help="rankings, comparisons and ratings of this queue only")
    export.add_argument("--key-file", type=Path, metavar="FILE", help="a file with the key of the pseudonyms")
    export.set_defaults(call=export_verb)

    load = words.add_parser("import", help="read files in the documented formats", description=import_verb.__doc__)
    load.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="JSONL files, or directories of an export")
    load.set_defaults(call=import_verb)

    forget = words.add_parser(
        "forget", help="remove a person and what was made from her", description=forget_verb.__doc__
    )
    forget.add_argument("user", metavar="USER", help="a user of prompts, or a labeler's name")
    forget.add_argument(
        "--run", action="append", default=[], type=Path, metavar="DIR", help="a run directory to look through; repeat"
    )
    forget.set_defaults(call=forget_verb)

    for one in (export, load, forget):
        one.add_argument("--database", required=True, metavar="URL", help=DATABASE)


def export_verb(options: argparse.Namespace) -> None:
    """Write prompts, demonstrations, rankings, comparisons and ratings as JSONL, under pseudonyms."""
    from preceptor.feedback.store import open_store
    from preceptor.feedback.store.export import export
    from preceptor.feedback.tasks import queue
    from preceptor.files import read_text

    key = None if options.key_file is None else read_text(options.key_file).strip()
    if key == "":
        raise InputError(f"{options.key_file}: the key is empty; put a long random word in the file")
    with closing(open_store(options.database, create=False)) as store:
        if options.queue is not None:
            queue(store, options.queue)
        print(json.dumps(export(store, options.out, key=key, queue=options.queue), indent=2))


def import_verb(options: argparse.Namespace) -> None:
    """Read prompts, demonstrations, rankings, comparisons and ratings. Doing it twice adds nothing."""
    files = [found for path in options.paths for found in _files(path)]
    from preceptor.feedback.store import open_store
    from preceptor.feedback.store.load import LOADERS

    with closing(open_store(options.database)) as store:
        for kind, path in sorted(files, key=lambda found: ORDER.index(found[0])):
            loaded = LOADERS[kind](store, path)
            print(f"{path}: {loaded.added:,} {kind} added, {loaded.known:,} there already")


def forget_verb(options: argparse.Namespace) -> None:
    """Remove a user's prompts and all that was made from them; name the files and models that have learnt of them."""
    from preceptor.feedback.store import open_store
    from preceptor.feedback.store.forget import forget, prompts_of
    from preceptor.traces import find_traces

    with closing(open_store(options.database, create=False)) as store:
        prompts = set(prompts_of(store, options.user))
        traces = find_traces(options.run, prompts, {options.user})  # first: should a run be unreadable, nothing is lost
        removed = forget(store, options.user)
    print(f"removed {removed.prompts:,} prompts, {removed.responses:,} responses, {removed.judgements:,} judgements")
    if removed.labeler:
        print("removed the labeler's name, password and sessions")
    for trace in traces:
        print(f"{trace.kind} {trace.path}: {trace.why}")
    if not options.run:
        print("no run was looked through; name run directories with --run to see what was trained on this")


def _files(path: Path) -> list[tuple[str, Path]]:
    """What files a path stands for, and what each of them holds."""
    from preceptor.feedback.readers.places import Place
    from preceptor.feedback.readers.records import json_of
    from preceptor.feedback.readers.streaming import lines_of

    if path.is_dir():
        found = [(kind, path / f"{kind}.jsonl") for kind in ORDER if (path / f"{kind}.jsonl").is_file()]
        if not found:
            raise InputError(f"{path}: holds none of {', '.join(f'{kind}.jsonl' for kind in ORDER)}; name files")
        return found
    place, line = next(lines_of(path), (Place(path, 1), "null"))
    first = json_of(line, place)
    kinds = [kind for kind, fields in FIELDS.items() if isinstance(first, dict) and fields <= first.keys()]
    if not kinds:
        raise InputError(f"{path}: holds none of our formats; see docs/formats.md, or `preceptor data inspect {path}`")
    return [("comparisons" if kinds[0] == "rankings" and path.stem == "comparisons" else kinds[0], path)]
