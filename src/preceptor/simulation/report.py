"""What a simulation found: latencies, refusals, and whether everything is there once."""

from collections import Counter
from dataclasses import dataclass
from typing import Self

from rich.console import Console
from rich.table import Table

from preceptor.simulation.check import Ledger
from preceptor.simulation.client import Watch

SHOWN = 5


@dataclass(frozen=True)
class Route:
    """The latency of one route, in milliseconds."""

    name: str
    requests: int
    p50: float
    p95: float
    p99: float
    longest: float
    refused: int  # answered with 4xx
    failed: int  # answered with 5xx


@dataclass(frozen=True)
class Report:
    """What was found."""

    judgements: int  # acknowledged
    repeated: int
    seconds: float
    routes: tuple[Route, ...]
    away: int
    lost: int  # acknowledged, and not in the export
    twice: int  # more often in the export than acknowledged
    refused: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Nothing lost, nothing twice, and the server never broke."""
        return not (self.lost or self.twice or self.refused or any(route.failed for route in self.routes))

    @classmethod
    def of(
        cls,
        watch: Watch,
        ledger: Ledger,
        before: Counter[str],
        after: Counter[str],
        seconds: float,
        refused: list[str],
    ) -> Self:
        """Put together what was measured and what is in the exports before and after."""
        new = after - before
        twice = sum(max(0, new[content] - count) for content, count in ledger.contents.items())
        return cls(
            judgements=ledger.judgements,
            repeated=ledger.repeated,
            seconds=seconds,
            routes=tuple(_route(name, times, watch) for name, times in sorted(watch.seconds.items())),
            away=watch.away,
            lost=(ledger.contents - new).total(),
            twice=twice + ledger.doubled,
            refused=tuple(refused),
        )


def show(report: Report) -> None:
    """Print a report."""
    console = Console(highlight=False)
    table = Table("route", "requests", "p50 ms", "p95 ms", "p99 ms", "max ms", "4xx", "5xx")
    for route in report.routes:
        times = [f"{value:,.1f}" for value in (route.p50, route.p95, route.p99, route.longest)]
        table.add_row(route.name, f"{route.requests:,}", *times, str(route.refused), str(route.failed))
    console.print(table)
    rate = report.judgements / report.seconds if report.seconds else 0.0
    console.print(f"{report.judgements:,} judgements acknowledged in {report.seconds:,.1f} s, {rate:,.1f} a second")
    if report.away:
        console.print(
            f"the server was away for {report.away:,} requests; {report.repeated} answers came when asked again"
        )
    console.print(f"in the export: {report.lost} lost, {report.twice} twice")
    for line in report.refused[:SHOWN]:
        console.print(f"refused: {line}", markup=False)
    if len(report.refused) > SHOWN:
        console.print(f"... and {len(report.refused) - SHOWN} more")


def _route(name: str, times: list[float], watch: Watch) -> Route:
    ordered = sorted(1000 * seconds for seconds in times)

    def percentile(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    statuses = {status: count for (route, status), count in watch.statuses.items() if route == name}
    return Route(
        name=name,
        requests=len(ordered),
        p50=percentile(0.5),
        p95=percentile(0.95),
        p99=percentile(0.99),
        longest=ordered[-1],
        refused=sum(count for status, count in statuses.items() if 400 <= status < 500),
        failed=sum(count for status, count in statuses.items() if status >= 500),
    )
