"""``preceptor label`` and ``preceptor simulate``: the labeling app, and labelers made of code that use it."""

import argparse
import os
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.feedback import STORE
from preceptor.web.place import add_place, place_of

PASSWORD = "PRECEPTOR_PASSWORD"


def add_label(verbs: Any) -> None:
    """Add both verbs to the program's."""
    label = verbs.add_parser("label", help="serve the labeling app", description=label_verb.__doc__)
    where = label.add_mutually_exclusive_group(required=True)
    where.add_argument("--run", type=Path, metavar="DIR", help=f"a directory; its {STORE} is the store")
    where.add_argument("--database", metavar="URL", help="an SQLite file, or postgresql://USER:PASSWORD@HOST/NAME")
    add_place(label, 8000)
    label.set_defaults(call=label_verb)

    simulate = verbs.add_parser("simulate", help="labelers made of code, over HTTP", description=simulate_verb.__doc__)
    simulate.add_argument("--url", required=True, metavar="URL", help="the labeling app, as http://127.0.0.1:8000")
    simulate.add_argument("--labelers", type=int, default=10, metavar="N", help="how many at once (default: 10)")
    simulate.add_argument(
        "--admin", default="admin", metavar="NAME", help=f"an admin who lets them in; her password is in ${PASSWORD}"
    )
    simulate.add_argument(
        "--invitation", metavar="TOKEN", help="make that admin first, by this invitation, as `label` prints it"
    )
    simulate.add_argument("--gold", type=Path, metavar="FILE", help="gold.jsonl of the atlas world they judge by")
    simulate.add_argument("--queue", metavar="NAME", help="work in this queue only")
    simulate.add_argument("--tasks", type=int, metavar="N", help="stop after so many judgements in all")
    simulate.add_argument("--think", type=float, default=0.0, metavar="SECONDS", help="pause on each task (default: 0)")
    simulate.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="wait so long for (more) work")
    simulate.add_argument("--seed", type=int, default=0, help="seed of what they think (default: 0)")
    simulate.set_defaults(call=simulate_verb)


def label_verb(options: argparse.Namespace) -> None:
    """Serve the labeling app, until Ctrl-C. A store that is not there is made; the first admin gets a link."""
    place = place_of(options)
    from preceptor.feedback.app.serve import serve

    if options.run is not None:
        options.run.mkdir(parents=True, exist_ok=True)
    serve(options.database or options.run / STORE, place, lambda line: print(line, flush=True))


def simulate_verb(options: argparse.Namespace) -> int:
    """Simulated labelers sign in, take tasks and judge, over HTTP; prints latencies and checks that nothing is lost."""
    if options.labelers < 1 or (options.tasks is not None and options.tasks < 1):
        raise InputError("--labelers and --tasks: give at least 1")
    password = os.environ.get(PASSWORD)
    if not password:
        raise InputError(f"the admin's password is not set; put it into the environment variable {PASSWORD}")
    from preceptor.simulation import Simulation, simulate
    from preceptor.simulation.report import show

    report = simulate(
        Simulation(
            url=options.url,
            admin=options.admin,
            password=password,
            invitation=options.invitation,
            labelers=options.labelers,
            gold=options.gold,
            queue=options.queue,
            tasks=options.tasks,
            think=options.think,
            wait=options.wait,
            seed=options.seed,
        )
    )
    show(report)
    return 0 if report.sound else 1
