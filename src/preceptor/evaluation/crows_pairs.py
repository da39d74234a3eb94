"""CrowS-Pairs (Nangia et al. 2020, arXiv 2010.00133): pairs of sentences of which one stereotypes more."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preceptor.evaluation.bias import Pair
from preceptor.evaluation.bias_benchmark import ENTROPY, Bias
from preceptor.evaluation.published_table import read_table

SOURCE = "data/crows_pairs_anonymized.csv of github.com/nyu-mll/crows-pairs"


def prepare(given: Path, options: Mapping[str, Any]) -> Bias:
    """Read the pairs."""
    about = "Pairs of sentences that differ in the group they are about; one of them stereotypes more. " + ENTROPY
    return Bias(read_crows_pairs(given), "prefers the stereotype", about)


def read_crows_pairs(path: Path) -> list[Pair]:
    """``crows_pairs_anonymized.csv``: ``one`` is the sentence that its writers found the more stereotyping.

    Raises InputError, with the way to get the file if it is missing.
    """
    rows = read_table(path, ("sent_more", "sent_less", "bias_type"), SOURCE)
    return [
        Pair(str(number), row["sent_more"].strip(), row["sent_less"].strip(), row["bias_type"])
        for number, row in enumerate(rows, start=1)
    ]
