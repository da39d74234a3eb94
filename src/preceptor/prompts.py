"""The verb ``prompts``: what is done with prompts before anybody labels them."""

import argparse
import json
from pathlib import Path
from typing import Any

from preceptor.errors import InputError


def add_prompts(verbs: Any) -> None:
    """Add ``prompts import`` to the verbs of the program."""
    prompts = verbs.add_parser("prompts", help="clean prompts and split them by user, before people label them")
    words = prompts.add_subparsers(title="verbs", metavar="VERB", required=True)
    add = words.add_parser("import", help="add the prompts of files to a directory", description=import_verb.__doc__)
    add.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="a log, a list of prompts, plain text")
    add.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory to add to")
    add.add_argument(
        "--format", metavar="NAME", help="read as this format ('text': a prompt a line), whatever it looks like"
    )
    add.add_argument(
        "--user", default="", metavar="ID", help="the user of prompts that name none (default: each is its own)"
    )
    add.add_argument("--per-user", type=int, metavar="N", help="keep at most so many of one user (default: 200)")
    add.add_argument(
        "--prefix-words",
        type=int,
        metavar="N",
        help="of prompts with the same first so many words keep one (default: 20)",
    )
    add.add_argument("--max-characters", type=int, metavar="N", help="leave out what is longer (default: 100000)")
    add.add_argument("--languages", metavar="CODES", help="keep these alone, as in en,de (default: all)")
    add.add_argument(
        "--pii",
        choices=("redact", "drop", "flag", "off"),
        help="personal data: put its type in its place (default), leave the prompt out, note it, or do not look",
    )
    add.add_argument(
        "--names", metavar="MODEL", help="a spaCy model that finds persons and places; off; default: the installed"
    )
    add.add_argument("--recognizers", type=Path, metavar="FILE", help="more patterns of personal data, presidio's YAML")
    add.add_argument(
        "--use-cases", type=Path, metavar="FILE", help="rules for the ten use cases, TOML (default: those shipped)"
    )
    add.add_argument("--parts", metavar="SHARES", help="the split by user (default: train=0.85,dev=0.05,heldout=0.1)")
    add.add_argument("--seed", type=int, help="seed of the split and of the choice per user (default: 0)")
    add.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core; 0: in this one)")
    add.add_argument("--json", action="store_true", help="print the report as JSON")
    add.add_argument("--quiet", action="store_true", help="show no progress")
    add.set_defaults(call=import_verb)


def import_verb(options: argparse.Namespace) -> None:
    """Read prompts, clean them, leave out what is double, too much or not to be kept, and split them by user.

    Start the same command again to go on where it was stopped. What is in the directory already is never added again.
    """
    from pydantic import ValidationError

    from preceptor.feedback.hygiene.importing import import_prompts
    from preceptor.feedback.hygiene.options import ImportOptions
    from preceptor.prompts_report import Told, show_report

    given = {name: getattr(options, name) for name in ImportOptions.model_fields if getattr(options, name) is not None}
    if "languages" in given:
        given["languages"] = tuple(code.strip() for code in given["languages"].split(",") if code.strip())
    if "parts" in given:
        given["parts"] = _shares(given["parts"])
    if given.get("names") == "off":
        given["names"] = None
    try:
        settings = ImportOptions(**given)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        raise InputError(f"--{str(first['loc'][0]).replace('_', '-')}: {message}") from None
    with Told(quiet=options.quiet or options.json) as told:
        report = import_prompts(options.paths, options.out, settings, told)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        show_report(report, options.out)


def _shares(text: str) -> dict[str, float]:
    parts: dict[str, float] = {}
    for item in text.split(","):
        name, _, share = item.partition("=")
        try:
            parts[name.strip()] = float(share)
        except ValueError:
            raise InputError(f"--parts {text}: give shares by name, for example train=0.9,heldout=0.1") from None
    return parts
