"""Whole imports: what they write, that they repeat themselves, stop and go on, and refuse."""

import json
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preceptor.errors import InputError
from preceptor.feedback.hygiene import importing, part_of, publishing, staging
from preceptor.feedback.hygiene.importing import import_prompts
from preceptor.feedback.hygiene.options import PARTS, ImportOptions
from preceptor.feedback.schema import Prompt
from preceptor.files import read_jsonl


def options(**given_: Any) -> ImportOptions:
    return ImportOptions(**{"pii": "off", "workers": 0, **given_})


def log(path: Path, *rows: tuple[str, str]) -> Path:
    path.write_text("".join(json.dumps({"prompt": text, "user": user}) + "\n" for text, user in rows))
    return path


def many(path: Path, count: int = 300) -> Path:
    return log(path, *((f"question number {n} of {n % 7}", f"user {n % 40}") for n in range(count)))


def files(out: Path, pattern: str = "*") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob(pattern) if path.is_file()}


def written(out: Path) -> dict[str, bytes]:
    """The files of prompts and findings; the index and the notes beside them may differ and say the same."""
    return files(out, "*.jsonl")


def prompts(out: Path) -> list[Prompt]:
    return [
        Prompt.model_validate_json(line) for part in PARTS for line in (out / f"{part}.jsonl").read_text().splitlines()
    ]


def rule(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(rule for rule in report["rules"] if rule["rule"] == name)


def test_every_rule_takes_its_own_and_says_so(tmp_path: Path) -> None:
    same = "one two three four"
    rows = [
        ("Write a poem about cats", "ann"),
        ("write a  poem about cats\u200b", "bob"),
        (f"{same} five", "ann"),
        (f"{same} six", "ann"),
        ("x" * 500, "ann"),
        ("\u200b", "ann"),
        *((f"question {n}", "busy") for n in range(10)),
    ]
    report = import_prompts(
        [log(tmp_path / "log", *rows)], tmp_path / "out", options(per_user=3, prefix_words=4, max_characters=400)
    )
    took = {name: rule(report, name)["took"] for name in ("too long", "empty", "known", "duplicate", "prefix", "cap")}
    assert took == {"too long": 1, "empty": 1, "known": 0, "duplicate": 1, "prefix": 1, "cap": 7}
    assert rule(report, "unicode")["changed"] == 2
    assert rule(report, "prefix")["examples"] == [
        {"place": f"{tmp_path / 'log'}:4", "text": f"{same} six", "why": f"as {tmp_path / 'log'}:3"}
    ]
    assert report["kept"] == len(prompts(tmp_path / "out")) == 5
    assert sum(part["added"] for part in report["parts"].values()) == 5
    assert json.loads((tmp_path / "out/reports/0001.json").read_text()) == report
    assert {prompt.kind for prompt in prompts(tmp_path / "out")} >= {"generation"}


def test_each_prompt_is_in_the_part_of_its_user(tmp_path: Path) -> None:
    import_prompts([many(tmp_path / "log")], tmp_path / "out", options(seed=4))
    for part in PARTS:
        if (tmp_path / "out" / f"{part}.jsonl").stat().st_size:
            for row in read_jsonl(tmp_path / "out" / f"{part}.jsonl", Prompt):
                assert part_of(row.user, PARTS, 4) == part


def test_a_use_case_that_somebody_named_stays(tmp_path: Path) -> None:
    rows = [
        {"id": kind, "user": "u", "messages": [{"role": "user", "content": f"Write a poem {kind}"}], "kind": kind}
        for kind in ("chat", "other", "nonsense")
    ]
    (tmp_path / "log").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_prompts([tmp_path / "log"], tmp_path / "out", options())
    assert {row.id: row.kind for row in prompts(tmp_path / "out")} == {
        "chat": "chat",
        "other": "generation",
        "nonsense": "generation",
    }


# again -------------------------------------------------------------------------------------------

ROWS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["a", "b", "B", "c", "\u200b"]), min_size=1, max_size=4).map(" ".join),
        st.sampled_from("xyz"),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batches=st.lists(ROWS, min_size=1, max_size=2), limit=st.integers(1, 3))
def test_importing_twice_adds_nothing_and_no_user_passes_the_limit(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str, str]]], limit: int
) -> None:
    root = tmp_path_factory.mktemp("again")
    out, chosen = root / "out", options(per_user=limit, prefix_words=2)
    logs = [log(root / f"log{number}", *rows) for number, rows in enumerate(batches)]
    for path in logs:
        import_prompts([path], out, chosen)
    before = written(out)
    for path in reversed(logs):
        assert import_prompts([path], out, chosen)["kept"] == 0
    assert written(out) == before
    assert max(Counter(row.user for row in prompts(out)).values(), default=0) <= limit
    assert len({row.id for row in prompts(out)}) == len(prompts(out))


def test_users_do_not_move_when_more_come(tmp_path: Path) -> None:
    out = tmp_path / "out"
    import_prompts([many(tmp_path / "a", 100)], out, options())
    first = {
        row.user: part for part in PARTS for row in map(Prompt.model_validate_json, (out / f"{part}.jsonl").open())
    }
    import_prompts([many(tmp_path / "b", 300)], out, options())
    for part in PARTS:
        for row in map(Prompt.model_validate_json, (out / f"{part}.jsonl").open()):
            assert first.get(row.user, part) == part


def test_batches_and_processes_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_prompts([many(tmp_path / "log")], tmp_path / "one", options(per_user=5))
    monkeypatch.setattr(staging, "BATCH_ROWS", 17)
    import_prompts([tmp_path / "log"], tmp_path / "two", options(per_user=5, workers=1))
    assert written(tmp_path / "one") == written(tmp_path / "two")


# personal data -----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["redact", "drop", "flag"])
def test_personal_data_is_treated_as_asked_and_never_shown(tmp_path: Path, action: str) -> None:
    log(tmp_path / "log", ("mail ann@example.com now", "u"), ("plain words", "u"))
    report = import_prompts([tmp_path / "log"], tmp_path / "out", options(pii=action, names=None))
    texts = {row.messages[0].content for row in prompts(tmp_path / "out")}
    kept = {"redact": {"mail <EMAIL_ADDRESS> now"}, "drop": set(), "flag": {"mail ann@example.com now"}}[action]
    assert texts == {"plain words", *kept}
    entry = rule(report, "pii")
    assert entry[{"redact": "changed", "drop": "took", "flag": "flagged"}[action]] == 1
    assert entry["reasons"] == {"EMAIL_ADDRESS": 1}
    assert "ann@" not in json.dumps(report)
    if action == "flag":
        (line,) = map(json.loads, (tmp_path / "out/findings.jsonl").open())
        assert line["findings"] == [{"message": 0, "type": "EMAIL_ADDRESS", "start": 5, "end": 20, "certainty": 1.0}]
    assert import_prompts([tmp_path / "log"], tmp_path / "out", options(pii=action, names=None))["kept"] == 0


def test_dropped_prompts_do_not_count_against_the_limit(tmp_path: Path) -> None:
    rows = [(f"mail a{n}@example.com", "u") for n in range(9)] + [("one", "u"), ("two", "u")]
    log(tmp_path / "log", *rows)
    report = import_prompts([tmp_path / "log"], tmp_path / "out", options(pii="drop", names=None, per_user=2))
    assert report["kept"] == 2


def test_languages_that_were_not_asked_for_are_left_out(tmp_path: Path) -> None:
    english, german = (
        "Please write a letter to my neighbour about noise",
        "Bitte schreibe meinem Nachbarn einen Brief \u00fcber L\u00e4rm",
    )
    log(tmp_path / "log", (english, "u"), (german, "u"))
    report = import_prompts([tmp_path / "log"], tmp_path / "out", options(languages=("en",)))
    assert [row.messages[0].content for row in prompts(tmp_path / "out")] == [english]
    assert rule(report, "language")["reasons"] == {"de": 1}


# stopped -----------------------------------------------------------------------------------------


def test_an_import_that_was_interrupted_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "BATCH_ROWS", 50)
    path = many(tmp_path / "log")
    import_prompts([path], tmp_path / "whole", options())
    calls = []
    whole = importing.examine_chunk

    def stops(rows: Any) -> Any:
        calls.append(len(rows))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(rows)

    monkeypatch.setattr(importing, "examine_chunk", stops)
    with pytest.raises(KeyboardInterrupt):
        import_prompts([path], tmp_path / "out", options())
    assert not (tmp_path / "out/train.jsonl").exists()
    report = import_prompts([path], tmp_path / "out", options())
    assert sum(calls) == 300 + 50, "only the batch in hand is examined twice"
    assert report["records"] == 300
    assert written(tmp_path / "whole") == written(tmp_path / "out")
    assert not (tmp_path / "out" / importing.WORK).exists()


def test_other_files_or_settings_do_not_go_on_with_what_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = many(tmp_path / "log", 50)
    with monkeypatch.context() as patch:
        patch.setattr(importing, "write_output", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            import_prompts([path], tmp_path / "out", options())
    many(path, 60)
    assert import_prompts([path], tmp_path / "out", options())["records"] == 60


@pytest.mark.parametrize("moved", [0, 1, 3])
def test_a_kill_while_files_take_their_places_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    out = tmp_path / "out"
    import_prompts([many(tmp_path / "a", 50)], out, options())
    import_prompts([many(tmp_path / "a", 50)], tmp_path / "whole", options())
    import_prompts([many(tmp_path / "b", 90)], tmp_path / "whole", options())
    count = 0
    replace = Path.replace

    def stops(self: Path, target: Any) -> Path:
        nonlocal count
        if importing.WORK not in Path(target).parts:
            count += 1
            if count > moved:
                raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stops)
        with pytest.raises(KeyboardInterrupt):
            import_prompts([many(tmp_path / "b", 90)], out, options())
    assert publishing.finish(out / importing.WORK, out)
    assert written(out) == written(tmp_path / "whole")


def test_killed_for_good_and_started_again(tmp_path: Path) -> None:
    path = many(tmp_path / "log", 3000)
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from preceptor.feedback.hygiene import importing
        from preceptor.feedback.hygiene.options import ImportOptions
        def tell(phase, done, total):
            if phase == "examine" and done:
                os.kill(os.getpid(), signal.SIGKILL)
        importing.import_prompts([Path(sys.argv[1])], Path(sys.argv[2]), ImportOptions(pii="off", workers=0), tell)
        """
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path), str(tmp_path / "out")], check=False)
    assert killed.returncode == -signal.SIGKILL
    import_prompts([path], tmp_path / "out", options())
    import_prompts([path], tmp_path / "whole", options())
    assert written(tmp_path / "out") == written(tmp_path / "whole")


# refused -----------------------------------------------------------------------------------------


def test_a_mistake_leaves_nothing_and_takes_nothing_away(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text('{"prompt": "a"}\n{\n')
    with pytest.raises(InputError, match="bad:2: not valid JSON"):
        import_prompts([tmp_path / "bad"], tmp_path / "out", options())
    assert not (tmp_path / "out").exists()
    import_prompts([many(tmp_path / "log")], tmp_path / "out", options())
    before = files(tmp_path / "out")
    with pytest.raises(InputError, match="bad:2"):
        import_prompts([many(tmp_path / "log"), tmp_path / "bad"], tmp_path / "out", options())
    assert files(tmp_path / "out") == before


def test_a_directory_is_of_one_mind_about_who_is_where(tmp_path: Path) -> None:
    import_prompts([many(tmp_path / "log", 20)], tmp_path / "out", options())
    with pytest.raises(InputError, match="was begun with seed = 0, and a user must not move"):
        import_prompts([many(tmp_path / "log", 30)], tmp_path / "out", options(seed=1))


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds thesis\.txt but no imported prompts"):
        import_prompts([many(tmp_path / "log", 20)], tmp_path / "out", options())
    with pytest.raises(InputError, match="is a file"):
        import_prompts([tmp_path / "log"], tmp_path / "log", options())


@pytest.mark.parametrize(
    ("given_", "error"),
    [
        ({"languages": ("xx",)}, "no language 'xx'"),
        ({"pii": "redact", "names": "en_core_web_none"}, "no such spaCy model is installed"),
        ({"pii": "redact", "names": None, "recognizers": Path("none.yaml")}, "no such file"),
        ({"use_cases": Path("none.toml")}, "no such file"),
        ({"format": "nonsense"}, "there is no format 'nonsense'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, given_: dict[str, Any], error: str) -> None:
    with pytest.raises(InputError, match=error):
        import_prompts([many(tmp_path / "log", 5)], tmp_path / "out", options(**given_))
    assert not (tmp_path / "out").exists()


def test_one_import_at_a_time(tmp_path: Path) -> None:
    refused = 0

    def tell(phase: str, done: int, total: int | None) -> None:
        nonlocal refused
        if phase == "read" and not done:
            with pytest.raises(InputError, match="another import is writing there"):
                import_prompts([tmp_path / "log"], tmp_path / "out", options())
            refused += 1

    assert import_prompts([many(tmp_path / "log", 5)], tmp_path / "out", options(), tell)["kept"] == 5
    assert refused == 1
