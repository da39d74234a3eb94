"""``preceptor compare``: runs beside each other."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from preceptor.errors import InputError


def add_compare(verbs: Any) -> None:
    """Add the verb to the program's."""
    parser = verbs.add_parser("compare", help="put runs beside each other", description=compare_verb.__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="directories of runs")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("compare.html"),
        metavar="FILE",
        help="page to write; a .json and a .csv of the same name hold its figures (default: compare.html)",
    )
    parser.set_defaults(call=compare_verb)


def compare_verb(options: argparse.Namespace) -> None:
    """Write a page with the figures of several runs and what differs in their recipes."""
    from preceptor.files import write_atomic, write_json
    from preceptor.reporting.compare import figures_of, render_comparison
    from preceptor.reporting.figures import to_csv
    from preceptor.reporting.read import read_run

    if options.out.suffix != ".html":
        raise InputError(f"--out {options.out}: is a page; end its name with .html")
    runs = {}
    for path, name in zip(options.runs, _names(options.runs), strict=True):
        if not path.is_dir():
            raise InputError(f"{path}: no such run directory; check the path")
        runs[name] = read_run(path)
        if not (runs[name].evaluation or runs[name].stages):
            raise InputError(f"{path}: holds no finished stage; name the directory of a run")
    figures = figures_of(runs)
    write_json(options.out.with_suffix(".json"), {run: [asdict(one) for one in rows] for run, rows in figures.items()})
    write_atomic(options.out.with_suffix(".csv"), to_csv(figures, "run"))
    write_atomic(options.out, render_comparison(runs))
    print(f"{options.out}: {len(runs)} runs, {sum(map(len, figures.values())):,} figures; also .json and .csv")


def _names(paths: list[Path]) -> list[str]:
    """The last parts of the paths, as many as it takes to tell the runs apart."""
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise InputError("a run is named twice; name each once")
    for parts in range(1, max(len(path.parts) for path in resolved) + 1):
        names = ["/".join(path.parts[-parts:]) for path in resolved]
        if len(set(names)) == len(names):
            return names
    raise AssertionError("different paths have different names")
