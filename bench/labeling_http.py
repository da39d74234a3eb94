"""Fifty labelers at once over HTTP: the latency of each route, and whether every acknowledged judgement is there once.

The server is `preceptor label` in a process of its own, on loopback; the labelers are those of `preceptor simulate`, in
this process. They rank by chance and do not think, so that fifty requests are under way at every moment: a team of
people with a second of thought between two requests is `--think 1`. Both processes share the machine.

    python bench/labeling_http.py                                          # SQLite in a temporary file
    python bench/labeling_http.py --database postgresql://USER:PASSWORD@HOST/NAME   # an empty database
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from labeling import fill

from preceptor.feedback.store import open_store
from preceptor.simulation import Simulation, simulate
from preceptor.simulation.report import show

LABEL = "from preceptor.cli import main; raise SystemExit(main())"


def serve(database: str) -> tuple["subprocess.Popen[str]", str, str]:
    """The server, its URL, and the first admin's invitation."""
    words = [sys.executable, "-c", LABEL, "label", "--database", database, "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    token = ""
    for line in process.stdout:
        if "#" in line:
            token = line.split("#")[1].split()[0]
        if line.startswith("labeling at"):
            return process, line.split()[2], token
    raise SystemExit("the server did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="default: an SQLite file in a temporary directory")
    parser.add_argument("--labelers", type=int, default=50)
    parser.add_argument("--rankings", type=int, default=5000)
    parser.add_argument("--overlap", type=int, default=5)
    parser.add_argument("--think", type=float, default=0.0, help="seconds on each task")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        database = options.database or str(Path(directory) / "bench.db")
        with closing(open_store(database)) as store:
            fill(store, options.rankings // options.overlap, options.overlap)
        process, url, token = serve(database)
        try:
            plan = Simulation(
                url=url,
                admin="bench",
                password="a long password",
                invitation=token,
                labelers=options.labelers,
                think=options.think,
            )
            began = time.process_time()
            report = simulate(plan)
            show(report)
            server = Path(f"/proc/{process.pid}/stat")
            if server.exists():
                ticks = sum(map(int, server.read_text().rpartition(")")[2].split()[11:13]))
                used = ticks / os.sysconf("SC_CLK_TCK")
                print(f"processor: server {used:.1f} s in all, labelers {time.process_time() - began:.1f} s")
        finally:
            process.terminate()
            process.wait()
    raise SystemExit(0 if report.sound else 1)


if __name__ == "__main__":
    main()
