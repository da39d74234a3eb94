"""An outside judge behind a small fake of the OpenAI API on loopback."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from preceptor.errors import InputError
from preceptor.feedback.judge import JudgeConfig, Judged, judge, parse_ranking
from preceptor.feedback.schema import Response, Sample
from preceptor.text.conversation import Message

Answer = Callable[[dict[str, Any]], tuple[int, str]]


class Fake:
    """An endpoint that answers as a function of the request's body says: status, and the text of the reply."""

    def __init__(self) -> None:
        self.answer: Answer = best_by_length
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.bodies.append(body)
                fake.headers.append(dict(self.headers))
                status, text = fake.answer(body)
                if self.path != "/v1/chat/completions":
                    status = 404
                said = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                """Quietly."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def best_by_length(body: dict[str, Any]) -> tuple[int, str]:
    outputs = json.loads(body["messages"][1]["content"])["outputs"]
    return 200, " > ".join(sorted(outputs, key=lambda letter: -len(outputs[letter])))


def first_is_best(body: dict[str, Any]) -> tuple[int, str]:
    return 200, " > ".join(json.loads(body["messages"][1]["content"])["outputs"])


def samples(count: int = 3) -> list[Sample]:
    return [
        Sample(
            prompt_id=f"p{number}",
            messages=[Message(role="user", content=f"What is {number}?")],
            responses=[Response(text="x" * (place + 1), model=f"m{place}") for place in range(3)],
        )
        for number in range(count)
    ]


def ask(fake: Fake, kept: Path, given: list[Sample] | None = None) -> Judged:
    config = JudgeConfig(url=fake.url + "/", model="wise")
    return judge(given or samples(), config, "Be just.", kept / "judge.jsonl")


def test_rankings_are_marked_as_synthetic(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEPTOR_JUDGE_KEY", "secret")
    judged = ask(fake, tmp_path)
    assert [one.ranks for one in judged.rankings] == [[3, 2, 1]] * 3
    assert {(one.labeler, one.source) for one in judged.rankings} == {("synthetic/wise", "synthetic")}
    assert (judged.skipped, judged.malformed, judged.same_both_ways) == (0, 0, 1.0)
    assert fake.headers[0]["Authorization"] == "Bearer secret"
    assert "secret" not in (tmp_path / "judge.jsonl").read_text()


def test_both_orders_are_asked_and_a_habit_of_places_becomes_a_tie(fake: Fake, tmp_path: Path) -> None:
    fake.answer = first_is_best
    judged = ask(fake, tmp_path, samples(1))
    asked = [json.loads(body["messages"][1]["content"])["outputs"] for body in fake.bodies]
    assert asked == [{"A": "x", "B": "xx", "C": "xxx"}, {"A": "xxx", "B": "xx", "C": "x"}]
    assert judged.rankings[0].ranks == [1, 1, 1] and judged.same_both_ways == 0.0
    assert judged.first_place == 1.0  # it took whatever was shown first
    assert fake.bodies[0]["messages"][0]["content"].startswith("Be just.")


def test_what_is_no_ranking_is_asked_again_then_skipped_and_counted(fake: Fake, tmp_path: Path) -> None:
    tries: dict[str, int] = {}

    def answer(body: dict[str, Any]) -> tuple[int, str]:
        question = body["messages"][1]["content"]
        tries[question] = tries.get(question, 0) + 1
        if "What is 1" in question:
            return 200, "I cannot choose: A > B > C > D"
        return best_by_length(body) if tries[question] > 1 else (200, "Hmm.")

    fake.answer = answer
    judged = ask(fake, tmp_path)
    assert [one.prompt_id for one in judged.rankings] == ["p0", "p2"]
    assert judged.skipped == 1 and judged.malformed == 2 + 2 + 3
    assert [body["temperature"] for body in fake.bodies if "What is 1" in str(body)] == [0.0, 0.7, 0.7]


def test_a_busy_endpoint_is_waited_for(fake: Fake, tmp_path: Path) -> None:
    statuses = iter([503, 429, 500])
    fake.answer = lambda body: (next(statuses, 200), best_by_length(body)[1])
    assert len(ask(fake, tmp_path).rankings) == 3


def test_what_was_answered_is_not_asked_again(fake: Fake, tmp_path: Path) -> None:
    def breaks(body: dict[str, Any]) -> tuple[int, str]:
        return (401, "") if "What is 2" in str(body) else best_by_length(body)

    fake.answer = breaks
    with pytest.raises(InputError, match=r"refuses, status 401; is PRECEPTOR_JUDGE_KEY set\?"):
        ask(fake, tmp_path)
    kept = tmp_path / "judge.jsonl"
    with kept.open("ab") as file:
        file.write(b'["torn')
    answered = len(kept.read_bytes().splitlines()) - 1
    fake.answer, before = best_by_length, len(fake.bodies)
    assert len(ask(fake, tmp_path).rankings) == 3
    assert answered > 0 and len(fake.bodies) - before == 6 - answered


def test_what_another_judge_answered_is_not_taken_for_its_word(fake: Fake, tmp_path: Path) -> None:
    ask(fake, tmp_path)
    fake.answer, before = first_is_best, len(fake.bodies)
    other = JudgeConfig(url=fake.url + "/", model="wiser")
    assert judge(samples(), other, "Be just.", tmp_path / "judge.jsonl").same_both_ways == 0.0
    assert len(fake.bodies) == before + 6
    assert ask(fake, tmp_path).same_both_ways == 1.0 and len(fake.bodies) == before + 6  # the first one's are there


def test_an_endpoint_that_is_not_there_is_said_in_one_line(fake: Fake, tmp_path: Path) -> None:
    for url, said in (
        ("http://127.0.0.1:9/v1", "gives no answer"),
        ("nonsense", "is no address"),
        (fake.url + "/v2", "refuses, status 404"),
    ):
        with pytest.raises(InputError, match=said):
            judge(samples(1), JudgeConfig(url=url, model="wise"), "", tmp_path / "judge.jsonl")
    with pytest.raises(InputError, match=r"rank\.judge\.url"):
        judge(samples(1), JudgeConfig(model="wise"), "", tmp_path / "judge.jsonl")


def test_an_answer_of_another_form_is_malformed(fake: Fake, tmp_path: Path) -> None:
    fake.answer = lambda body: (200, ["B", "A"])  # type: ignore[return-value]
    judged = ask(fake, tmp_path, samples(1))
    assert judged.rankings == [] and judged.malformed == 3 and judged.same_both_ways is None


@pytest.mark.parametrize(
    ("text", "ranks"),
    [
        ("B > A = C", [2, 1, 2]),
        ("A=B=C", [1, 1, 1]),
        ("Let me see.\nA > B > C\n\n**C > B > A**", [3, 2, 1]),
        ("`B>C>A`", [3, 1, 2]),
        ("A > B", None),
        ("A > B > B", None),
        ("A > B > C > D", None),
        ("A < B < C", None),
        ("", None),
        ("A B C", None),
    ],
)
def test_parsing(text: str, ranks: list[int] | None) -> None:
    assert parse_ranking(text, 3) == ranks
