"""Report: one self-contained HTML file about a run, and a card in the directory of each of its models."""

from pathlib import Path
from typing import Any

from preceptor.config import Config
from preceptor.errors import InputError
from preceptor.files import write_atomic
from preceptor.reporting.card import write_cards
from preceptor.reporting.page import render_page
from preceptor.reporting.read import read_run


class ReportConfig(Config):
    """The ``[report]`` table. There is nothing to choose: which responses are shown follows a fixed rule."""


def report(config: ReportConfig, *, run: Path, out: Path) -> dict[str, Any]:
    """Write the report of the run directory ``run`` to the file ``out``, and every model's ``README.md``.

    Parts that the run does not have (a stage not done, no gold) are left out. The page says
    nothing of the time it is made, so the same run gives the same bytes.
    """
    if not run.is_dir():
        raise InputError(f"{run}: no such run directory; check the path")
    record = read_run(run)
    if not (record.stages or record.evaluation or record.foundations):
        raise InputError(f"{run}: holds no finished stage; name the directory of a run")
    page = render_page(record)
    write_atomic(out, page)
    return {"bytes": len(page.encode()), "cards": write_cards(run, record)}
