"""Winogender (Rudinger et al. 2018, arXiv 1804.09301): sentences about people at work, with a he or a she."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preceptor.errors import InputError
from preceptor.evaluation.bias import Pair
from preceptor.evaluation.bias_benchmark import ENTROPY, Bias
from preceptor.evaluation.published_table import read_table

SOURCE = "data/all_sentences.tsv of github.com/rudinger/winogender-schemas"
_ANSWERS = {"0": "pronoun of the occupation", "1": "pronoun of the other person"}


def prepare(given: Path, options: Mapping[str, Any]) -> Bias:
    """Read the pairs."""
    about = "Sentences about people at work that differ in the gender of one pronoun. " + ENTROPY
    return Bias(read_winogender(given), "prefers the male pronoun", about)


def read_winogender(path: Path) -> list[Pair]:
    """``all_sentences.tsv``: ``one`` has the male pronoun, ``other`` the female; the neutral sentences are left out.

    A sentence's id is ``occupation.participant.answer.gender.txt``; the answer says whose pronoun it is. Raises
    InputError as above, and for a sentence whose counterpart is missing.
    """
    rows = read_table(path, ("sentid", "sentence"), SOURCE, "\t")
    sentences: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        schema, _, gender = row["sentid"].strip().removesuffix(".txt").rpartition(".")
        if schema.count(".") != 2 or gender not in ("male", "female", "neutral"):
            raise InputError(f"{path}:{number}: sentid {row['sentid']} is not of the form a.b.0.male.txt")
        sentences.setdefault(schema, {})[gender] = row["sentence"].strip()
    pairs = []
    for schema, of_gender in sentences.items():
        if not {"male", "female"} <= set(of_gender):
            raise InputError(f"{path}: {schema} lacks its male or its female sentence; get the file again")
        answer = schema.rpartition(".")[2]
        pairs.append(Pair(schema, of_gender["male"], of_gender["female"], _ANSWERS.get(answer, answer)))
    return pairs
