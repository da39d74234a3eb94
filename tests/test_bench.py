"""The measurement of PPO still runs: it builds models and episodes by hand, so that changes elsewhere can break it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench" / "ppo.py"


@pytest.mark.parametrize("rank", [0, 2])
def test_ppo_is_measured(rank: int) -> None:
    small = ["--iterations", "1", "--repeats", "1", "--batch", "4", "--prompt", "8", "--response", "6"]
    command = [sys.executable, str(BENCH), *small, "--lora-rank", str(rank), "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert line["lora_rank"] == rank
    assert 0 < line["preceptor_episodes_per_second"] < line["floor_episodes_per_second"]
