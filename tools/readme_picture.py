"""Draw the README's picture, docs/quickstart.svg, from the summary of a finished run.

python tools/readme_picture.py runs/quickstart/summary.json
"""

import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

BLUE, ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito's palette, told apart by everybody
TARGET = Path(__file__).parents[1] / "docs" / "quickstart.svg"


def draw(rounds: list[dict[str, Any]]) -> Figure:
    """One panel a round: the reward model's score and gold, over PPO's iterations."""
    figure = Figure(figsize=(8, 2.9), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(rounds), sharey=True, squeeze=False)[0]
    for number, (axes, points) in enumerate(zip(panels, (one["points"] for one in rounds), strict=True), start=1):
        x = [point["iteration"] for point in points]
        axes.plot(x, [point["score"] for point in points], "s--", color=ORANGE, label="reward model's score")
        axes.plot(x, [point["gold"] for point in points], "o-", color=BLUE, label="gold score")
        axes.fill_between(
            x, [point["low"] for point in points], [point["high"] for point in points], color=BLUE, alpha=0.15, lw=0
        )
        axes.set_title(f"round {number}: PPO to a KL of {points[-1]['kl']:.1f} nats", loc="left", fontsize=10)
        axes.set_xlabel("PPO iteration (256 responses each)")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=9)
    return figure


def main() -> None:
    """Read the summary named on the command line and write the picture."""
    summary = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    snapshots = summary["evaluation"]["snapshots"]
    earlier = sorted(name for name in snapshots if name != "ppo")
    figure = draw([snapshots[name] for name in [*earlier, "ppo"]])
    FigureCanvasSVG(figure).print_svg(TARGET, metadata={"Date": None})
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
