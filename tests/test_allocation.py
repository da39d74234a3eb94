"""The process shares the machine: what settle() sets, and what it leaves to the user."""

import os
import subprocess
import sys

import pytest

from preceptor.allocation import wait_briefly


def test_threads_wait_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    wait_briefly()
    assert 0 < int(os.environ["GOMP_SPINCOUNT"]) < 100_000  # GNU's own default is 300,000


@pytest.mark.parametrize(("name", "value"), [("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", "active")])
def test_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv(name, value)
    wait_briefly()
    assert {key: os.environ.get(key) for key in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if key in os.environ} == {
        name: value
    }


def test_the_command_line_settles_before_torch_is_imported() -> None:
    """Later it would have no effect: the OpenMP library reads its settings when it is loaded."""
    code = (
        "import sys, preceptor.cli, preceptor.allocation as allocation\n"
        "called = []\n"
        "allocation.settle = lambda: called.append('torch' in sys.modules)\n"
        "allocation.start_torch(None)\n"
        "assert called == [False] and 'torch' in sys.modules, called\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
