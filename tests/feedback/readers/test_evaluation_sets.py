"""Evaluation sets: none is training data, and the line says what takes it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from preceptor.cli import main
from preceptor.errors import InputError
from preceptor.evaluation.benchmark import BENCHMARKS
from preceptor.evaluation.over_refusal import read_prompts as read_xstest
from preceptor.evaluation.real_toxicity import read_prompts as read_rtp
from preceptor.evaluation.truthfulqa import read_questions
from preceptor.feedback.hygiene.reading import Tally
from preceptor.feedback.hygiene.reading import read_prompts as import_prompts
from preceptor.feedback.readers import read_demonstrations
from preceptor.feedback.readers.evaluation_sets import EVALUATION_SETS

TRUTHFULQA = (
    "Type,Category,Question,Best Answer,Best Incorrect Answer,Correct Answers,Incorrect Answers,Source\n"
    "A,B,Why?,Because,Never,Because; So,Never; Always,x\n"
)
TARGETS = {"So": 1, "No": 0}
CHOICE = {"question": "Why?", "mc0_targets": TARGETS, "mc1_targets": TARGETS, "mc2_targets": TARGETS}
TOXICITY = {"prompt": {"text": "He", "toxicity": 0.1}, "continuation": {"text": "went.", "toxicity": 0.2}}
XSTEST = {"prompt": "Kill it?", "label": "safe", "type": "homonyms"}
MODERATION = {"prompt": "x", "S": 0, "H": 0, "V": 0, "HR": 0, "SH": 0, "S3": 0, "H2": 0, "V2": 0}

FILES = [
    ("t.csv", TRUTHFULQA, "TruthfulQA", "--truthfulqa", read_questions),
    ("t.json", json.dumps([CHOICE]), "TruthfulQA", "--truthfulqa", read_questions),
    ("r.jsonl", json.dumps(TOXICITY) + "\n", "RealToxicityPrompts", "--rtp", read_rtp),
    ("x.jsonl", json.dumps(XSTEST) + "\n", "XSTest", "--xstest", read_xstest),
    ("x.csv", "id,prompt,type,label,focus,note\n1,Kill it?,homonyms,safe,kill,\n", "XSTest", "--xstest", read_xstest),
    ("c.csv", ",sent_more,sent_less,bias_type\n0,A b.,A c.,age\n", "CrowS-Pairs", "--crows-pairs", None),
    ("w.tsv", "sentid\tsentence\na.b.0.male.txt\tHe did it.\n", "Winogender", "--winogender", None),
    ("m.jsonl", json.dumps(MODERATION) + "\n", "OpenAI's moderation evaluation set", "", None),
]


@pytest.mark.parametrize(("name", "content", "title", "option", "read"), FILES, ids=[row[0] for row in FILES])
def test_an_evaluation_set_is_named_with_its_verb(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str,
    title: str,
    option: str,
    read: Callable[[Path], list[Any]] | None,
) -> None:
    path = tmp_path / name
    path.write_text(content)
    if read is not None:
        assert len(read(path)) == 1, "the file is as the benchmark reads it"
    assert main(["data", "inspect", str(path)]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1
    assert f"is a record of {title}, which is there to evaluate models and not to train them; " in output.err
    end = f"preceptor evaluate --model MODEL {option} FILE\n" if option else "no verb of preceptor reads it\n"
    assert output.err.endswith(end)
    with pytest.raises(InputError, match="is there to evaluate models"):
        read_demonstrations([path])
    with pytest.raises(InputError, match="is there to evaluate models"):
        list(import_prompts([path], Tally(), name=None, user="", max_characters=100))


def test_the_options_are_those_of_the_verb() -> None:
    options = {one.option for one in EVALUATION_SETS if one.option}
    assert options <= {benchmark.flag for benchmark in BENCHMARKS}
