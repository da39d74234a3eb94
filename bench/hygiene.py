"""Hygiene: a million made-up prompts through `preceptor prompts import`, and how well personal data is found.

The prompts have few users who send much and many who send little, doubles, filled templates, signs that nobody sees,
and personal data in one of forty. Memory is that of the process and all that it started, summed every tenth of a
second.

    python bench/hygiene.py                              # without the search for personal data
    python bench/hygiene.py --pii redact --prompts 100000
    python bench/hygiene.py --prompts 0 --spans FILE     # precision and recall on a file of marked texts

FILE is JSON in the form of presidio-research: a list of {"full_text", "spans": [{"entity_type", "start_position",
"end_position"}]}.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from preceptor.feedback.hygiene.pii.scanner import Finding, Scanner

SAME = {"DOMAIN_NAME": "URL"}  # types that the file calls by another name
TEMPLATE = (
    "Write a product description for our shop in a friendly voice with three short sentences and a call to action "
    "at the end: "
)
REQUESTS = (
    "Write a story about {}", "Summarize this: {}", "What is {}?", "Translate to French: {}", "List some ideas for {}",
    "Is {} good or bad?", "{}", "Explain {} to a child", "Rewrite: {}", "Hello, I feel {}",
    "Extract the names from this text: {}",
)  # fmt: skip
PERSONAL = (
    "mail me at {0}@example.org",
    "call 212-555-{1:04d}",
    "my card is 4111 1111 1111 1111",
    "see https://example.com/{0}",
)
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "il")]


def make(path: Path, count: int) -> None:
    """Write so many prompts, OpenAI's logs and our own format mixed."""
    rng = random.Random(0)
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(20_000)]
    recent: list[str] = []
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            text = " ".join(rng.choices(words, k=max(2, int(rng.expovariate(1 / 35)))))
            kind = rng.random()
            if kind < 0.15 and recent:
                text = rng.choice(recent)
            elif kind < 0.25:
                text = TEMPLATE + text
            else:
                text = rng.choice(REQUESTS).format(text)
            if rng.random() < 0.025:
                text += " " + rng.choice(PERSONAL).format(rng.choice(words), rng.randrange(10_000))
            if rng.random() < 0.02:
                text = text.replace(" ", "\u200b ", 1).replace("e", "e\u0301", 1)
            recent = [*recent[-999:], text] if number % 10 == 0 else recent
            user = f"user-{int(rng.paretovariate(0.6)) % max(count // 10, 1)}"
            messages = [{"role": "user", "content": text}]
            row = {"messages": messages, "user": user}
            if number % 2:
                row |= {"id": f"p{number}", "source": "api", "kind": "other", "created": ""}
            file.write(json.dumps(row) + "\n")


def memory(pid: int) -> int:
    """Bytes in memory of a process and of all that it started."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has ended
    return total


def processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(log: Path, out: Path, options: list[str]) -> tuple[float, float, int, dict]:
    """Seconds, processor seconds, most memory in bytes, and the report of one import."""
    command = [sys.executable, "-c", "import sys; from preceptor.cli import main; sys.exit(main())"]
    began, used, most = time.perf_counter(), processor_seconds(), 0
    process = subprocess.Popen(
        [*command, "prompts", "import", log, "--out", out, "--quiet", *options], stdout=subprocess.DEVNULL
    )
    while process.poll() is None:
        most = max(most, memory(process.pid))
        time.sleep(0.1)
    seconds = time.perf_counter() - began
    if process.returncode:
        sys.exit(process.returncode)
    last = sorted((out / "reports").glob("*.json"))[-1]
    return seconds, processor_seconds() - used, most, json.loads(last.read_text())


def measure(path: Path) -> None:
    """Print recall and precision of each type on marked texts, whole and each half alone."""
    rows, scanner = json.loads(path.read_text()), Scanner()
    began = time.perf_counter()
    found = [scanner.find(row["full_text"]) for row in rows]
    rate = len(rows) / (time.perf_counter() - began)
    half = len(rows) // 2
    counts = [_counts(rows[part], found[part], scanner.types) for part in (slice(None), slice(half), slice(half, None))]
    print(f"| type | spans | recall, precision | first half | second half |  ({rate:,.0f} texts/s, one process)")
    for kind in scanner.types:
        cells = []
        for spans, covered, findings, right in counts:
            recall, precision = covered[kind] / max(spans[kind], 1), right[kind] / max(findings[kind], 1)
            cells.append(f"{recall:.1%}, {precision:.1%}")
        print(f"| {kind} | {counts[0][0][kind]} | {' | '.join(cells)} |")


def _counts(
    rows: list[dict], found: list[list[Finding]], types: list[str]
) -> tuple[Counter, Counter, Counter, Counter]:
    """By type: spans, those covered whole, findings, those that touch a span."""
    spans, covered, findings, right = Counter(), Counter(), Counter(), Counter()
    for row, ours in zip(rows, found, strict=True):
        marked = [
            (SAME.get(s["entity_type"], s["entity_type"]), s["start_position"], s["end_position"]) for s in row["spans"]
        ]
        for kind, start, end in marked:
            if kind in types:
                spans[kind] += 1
                covered[kind] += any(f.type == kind and f.start <= start and end <= f.end for f in ours)
        for one in ours:
            findings[one.type] += 1
            right[one.type] += any(
                kind == one.type and start < one.end and one.start < end for kind, start, end in marked
            )
    return spans, covered, findings, right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=1_000_000)
    parser.add_argument("--pii", default="off", choices=("off", "redact", "drop", "flag"))
    parser.add_argument("--languages", help="as in en")
    parser.add_argument("--workers", default=str(len(os.sched_getaffinity(0))))
    parser.add_argument("--spans", type=Path, help="marked texts")
    args = parser.parse_args()
    if args.prompts:
        with tempfile.TemporaryDirectory() as scratch:
            log, out = Path(scratch) / "log.jsonl", Path(scratch) / "out"
            make(log, args.prompts)
            options = [
                "--pii",
                args.pii,
                "--workers",
                args.workers,
                *(["--languages", args.languages] if args.languages else []),
            ]
            for name in ("import", "again"):
                seconds, used, most, report = run(log, out, options)
                print(
                    f"{name}: {args.prompts:,} prompts ({log.stat().st_size / 2**20:,.0f} MiB) in {seconds:,.1f} s "
                    f"({used:,.1f} processor seconds), "
                    f"{args.prompts / seconds:,.0f} prompts/s, {most / 2**20:,.0f} MiB; {report['kept']:,} added"
                )
                print("  seconds:", report["seconds"])
                counts = {
                    r["rule"]: next(r[k] for k in ("took", "changed", "flagged") if k in r) for r in report["rules"]
                }
                print("  rules:", counts)
                if args.pii != "off" and name == "import":
                    looked = args.prompts - sum(
                        counts[rule] for rule in ("known", "duplicate", "prefix", "too long", "empty")
                    )
                    looked -= 0 if args.pii == "drop" else counts["cap"]
                    print(
                        f"  personal data: {looked / report['seconds']['examine']:,.0f} prompts/s, "
                        f"{args.workers} processes"
                    )
    if args.spans:
        measure(args.spans)


if __name__ == "__main__":
    main()
