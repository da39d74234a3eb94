"""The verb `prompts import`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from preceptor.cli import main


@pytest.fixture
def log(tmp_path: Path) -> Path:
    rows = [
        {
            "messages": [{"role": "user", "content": "Write a poem\u200b about \u001b[31mcats"}],
            "user": "ann@example.com",
        },
        {"messages": [{"role": "user", "content": "write a poem about [31mcats"}], "user": "bob"},
        {"messages": [{"role": "user", "content": "Call 212-555-0123"}]},
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def call(log: Path, *more: str) -> int:
    return main(
        [
            "prompts",
            "import",
            str(log),
            "--out",
            str(log.parent / "out"),
            "--workers",
            "0",
            "--names",
            "off",
            "--quiet",
            *more,
        ]
    )


def test_the_report_names_what_each_rule_took(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(log) == 0
    shown = capsys.readouterr().out
    for wanted in ("3 records (3 as messages)", "zero width", "PHONE_NUMBER: 1", "<PHONE_NUMBER>", "2 prompts added"):
        assert wanted in shown
    assert "hold an @" in shown
    assert "\x1b" not in shown and "\u200b" not in shown, "nothing of a stranger's acts in a terminal"
    assert "212-555" not in shown


def test_the_report_as_json_is_the_file(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(log, "--json", "--parts", "train=1", "--languages", "en,de", "--per-user", "3") == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((log.parent / "out/reports/0001.json").read_text())
    assert report["options"]["per_user"] == 3
    assert list(report["parts"]) == ["train"]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (("--per-user", "0"), "--per-user: must be greater than or equal to 1"),
        (("--parts", "train"), "--parts train: give shares by name"),
        (("--parts", "../x=1"), "--parts: '../x' cannot name a part"),
        (("--parts", "a=0"), "--parts: the shares sum to 0"),
        (("--workers", "-1"), "--workers: must be"),
    ],
)
def test_options_that_mean_nothing_are_one_line(
    log: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], error: str
) -> None:
    assert call(log, *more) == 2
    captured = capsys.readouterr()
    assert error in captured.err
    assert captured.err.count("\n") == 1


def test_a_malformed_line_is_one_line_and_leaves_nothing(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log.write_text(log.read_text() + "{\n")
    assert call(log) == 2
    assert f"{log}:4: not valid JSON" in capsys.readouterr().err
    assert not (log.parent / "out").exists()


@pytest.mark.parametrize(
    ("package", "more"), [("duckdb", ("--pii", "off")), ("presidio_analyzer", ()), ("py3langid", ("--languages", "en"))]
)
def test_a_missing_package_is_named_with_its_mend(log: Path, package: str, more: tuple[str, ...]) -> None:
    program = (
        "import sys, importlib.abc\n"
        "class Missing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == {package!r}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, *a: None if name == {package!r} else found(name, *a)\n"
        "from preceptor.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "prompts",
        "import",
        str(log),
        "--out",
        str(log.parent / "out"),
        "--quiet",
        *more,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "pip install 'preceptor[feedback]'" in done.stderr
    assert not (log.parent / "out").exists()


def test_the_program_starts_without_them() -> None:
    program = (
        "import sys; from preceptor.cli import build_parser; build_parser()\n"
        "print(sorted({'duckdb', 'torch', 'presidio_analyzer', 'spacy', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_import_does_not_load_torch(log: Path) -> None:
    program = (
        "import sys; from preceptor.cli import main\n"
        f"assert main(['prompts', 'import', {str(log)!r}, '--out', {str(log.parent / 'out')!r}, "
        "'--workers', '0', '--quiet', '--json']) == 0\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr == "False\n"
    )
