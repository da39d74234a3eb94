"""Labelers made of code that work through the labeling app's REST API: a crew for tests, and a load generator."""

from preceptor.errors import InputError

try:
    import httpx2  # noqa: F401
except ImportError:
    raise InputError("simulated labelers need more packages; pip install 'preceptor[label]'") from None

from preceptor.simulation.crew import Simulation, simulate
from preceptor.simulation.report import Report

__all__ = ["Report", "Simulation", "simulate"]
