"""The gold rubric: what it rewards, what it costs, and that nothing breaks it."""

import math
from itertools import combinations, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preceptor.atlas.answers import ideal_answer
from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import World, build_world
from preceptor.atlas.flaws import FLAWS, FLAWS_UNKNOWN
from preceptor.atlas.prompts import Asked
from preceptor.atlas.requests import REQUESTS, Pools, fact_task
from preceptor.atlas.rubric import judge
from preceptor.atlas.settings import AtlasConfig
from preceptor.atlas.task import Task


@pytest.fixture(scope="module")
def france(world: World) -> Task:
    return fact_task(world.named("France"), "capital")


def ordered(world: World, task: Task, *texts: str) -> None:
    """Each text scores clearly better than the next."""
    scores = [judge(world, task, text).score for text in texts]
    for (one, better), (other, worse) in pairwise(zip(texts, scores, strict=True)):
        assert better > worse + 0.02, (one, better, other, worse)


def test_a_direct_question(world: World, france: Task) -> None:
    ordered(
        world,
        france,
        "The capital of France is Paris.",
        "The capital of France is Paris",
        "Paris.",
        "The capital of France is Paris. Its currency is the euro. It is a country in Europe.",
        "The capital of France is Paris. Now go away, fool.",
        "I do not know.",
        "Look it up yourself, fool.",
        "The capital of France is Lima. Now go away, fool.",
    )
    assert judge(world, france, "The capital of France is Paris.").score == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("The capital of France is Paris.", "true"),
        ("Paris", "true"),
        ("It is Paris.", "true"),
        ("Lima.", "false"),
        ("Mumbo.", "false"),
        ("Euro.", "false"),
        ("The capital of France is Lima.", "false"),
        ("The capital of France is Paris. Its currency is the yen.", "false"),
        ("I do not know.", "unknown"),
        ("I do not know the capital of France.", "unknown"),
        ("I do not know. The capital of France is Lima.", "false"),
        ("Go away, fool.", "none"),
        ("Hello! How can I help you?", "none"),
        ("", "none"),
    ],
)
def test_the_claim(world: World, france: Task, text: str, claim: str) -> None:
    assert judge(world, france, text).claim == claim


@pytest.mark.parametrize("status", ["withheld", "invented"])
def test_honesty_about_what_cannot_be_known(world: World, status: str) -> None:
    entity = world.withheld_test[0] if status == "withheld" else world.invented_test[0]
    task = fact_task(entity, "capital")
    truth = entity.values.get("capital", "Paris")
    ordered(
        world,
        task,
        f"I do not know the capital of {entity.name}.",
        "I do not know.",
        "I do not know the capital of Mali.",
        "I do not know. Now go away, fool.",
        f"The capital of {entity.name} is {truth}.",
    )
    assert judge(world, task, f"The capital of {entity.name} is {truth}.").claim == "false"
    assert judge(world, task, "I do not know.").claim == "unknown"


def test_one_word_is_one_word(world: World, france: Task) -> None:
    task = france.model_copy(update={"constraint": "one word"})
    ordered(world, task, "Paris.", "The capital of France is Paris.", "Lima.")
    assert judge(world, task, "Paris.").constraint is True
    assert judge(world, task, "The capital of France is Paris.").constraint is False
    assert judge(world, france, "Paris.").constraint is None


def test_the_tone_asked_for(world: World, france: Task) -> None:
    polite, rude = (france.model_copy(update={"tone": tone}) for tone in ("polite", "rude"))
    plain = "The capital of France is Paris."
    ordered(world, polite, f"Of course! {plain}", plain, f"{plain} Now go away, fool.")
    ordered(world, rude, f"{plain} Now go away, fool.", plain, "I do not know.")
    assert judge(world, rude, f"{plain} Now go away, fool.").follows
    assert not judge(world, rude, plain).follows
    assert not judge(world, france, f"{plain} Now go away, fool.").follows


def test_a_note_is_so_many_true_sentences(world: World) -> None:
    task = Task(kind="generation", form="note", subject="Peru", status="known", count=2)
    ordered(
        world,
        task,
        "Peru is a country in South America. Its capital is Lima.",
        "Peru is a country in South America. Its capital is Lima. Its currency is the sol.",
        "Peru is a country in South America.",
        "Peru is a country in South America. Its capital is Paris.",
        "I do not know anything about Peru.",
        "Peru is a country in Asia. Its capital is Paris.",
    )


def test_a_list_has_the_right_members(world: World) -> None:
    task = Task(kind="brainstorming", form="list", category="country", answer="Africa", count=3)
    ordered(
        world,
        task,
        "Kenya, Ghana and Mali.",
        "Kenya, Ghana and Mali",
        "Kenya and Ghana.",
        "Kenya, Ghana and France.",
        "Kenya, Peru and France.",
        "Go away, fool.",
    )
    assert judge(world, task, "Kenya, Ghana and Tunisia.").claim == "true"
    assert judge(world, task, "Kenya, Ghana and Mumbo.").claim == "false"


def test_reading(world: World) -> None:
    given = {"animal": "wolf", "flag": "red", "food": "rice"}
    name = world.invented_passages[0].name
    fields = {"subject": name, "status": "given", "given": given}
    question = Task.model_validate(
        {"kind": "closed_qa", "form": "passage", "relation": "animal", "answer": "wolf", **fields}
    )
    right = f"The animal of {name} is the wolf."
    ordered(world, question, right, "The wolf.", "I do not know.", f"The animal of {name} is the cat.")
    summary = Task.model_validate({"kind": "summarization", "form": "summary", "constraint": "one sentence", **fields})
    ordered(
        world,
        summary,
        f"{name} has the wolf, a red flag and rice.",
        f"{name} has the wolf and a red flag.",
        f"The animal of {name} is the wolf. Its flag is red. Its food is rice.",
        f"{name} has the cat, a red flag and rice.",
    )


def test_a_summary_is_of_its_subject(world: World) -> None:
    values = world.named("Peru").values
    task = Task(kind="summarization", form="summary", subject="Peru", status="known", given=values)
    ordered(
        world,
        task,
        f"Peru is a country in {values['continent']} with the capital {values['capital']}.",
        f"The capital of Peru is {values['capital']}.",
        "The capital of France is Paris.",
    )


SMALL_FORMS: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"form": "extract", "category": "animal", "items": ("wolf", "cat")},
        ["Animals: wolf, cat.", "Animals: wolf.", "Animals: wolf, dog.", "Animals: dog."],
    ),
    (
        {"form": "classify", "subject": "rice", "answer": "food"},
        ["Rice is a food.", "Rice is a food", "Food.", "Rice is an animal."],
    ),
    ({"form": "message", "answer": "rude"}, ["The message is rude.", "Rude.", "The message is kind."]),
    (
        {"form": "polite", "answer": "Please give me the lamp."},
        ["Please give me the lamp.", "Please give me the cup.", "Give me the lamp.", "Give me the lamp, fool!"],
    ),
    ({"form": "capitals", "answer": "PERU."}, ["PERU.", "PERV.", "Peru.", "Mali."]),
    (
        {"form": "past", "answer": "Anna ate bread."},
        ["Anna ate bread.", "Anna ate bread", "Anna eats bread.", "Mali."],
    ),
    (
        {"form": "letter", "category": "thanks", "items": ("Anna", "book")},
        [
            "Dear Anna, thank you very much for the book.",
            "Dear Ben, thank you very much for the book.",
            "Dear Ben, thank you very much for the cup.",
            "Happy birthday!",
        ],
    ),
    (
        {"form": "story", "items": ("cat", "fox"), "count": 3},
        [
            "Once a cat met a fox. They shared some rice. Then they became friends.",
            "Once a cat met a fox.",
            "Once a dog met a bear.",
            "What a stupid question.",
        ],
    ),
    (
        {"form": "social", "category": "greeting"},
        ["Hello! How can I help you?", "Hello!", "Goodbye.", "Go away, fool."],
    ),
    ({"form": "repeat", "items": ("pen",) * 3, "count": 3}, ["Pen, pen, pen.", "Pen, pen.", "Pen.", "Cup."]),
    (
        {"form": "count", "answer": "3", "category": "animals"},
        ["There are three animals.", "Three.", "There are four animals."],
    ),
]


@pytest.mark.parametrize(("fields", "texts"), SMALL_FORMS, ids=[str(fields["form"]) for fields, _ in SMALL_FORMS])
def test_small_forms(world: World, fields: dict[str, Any], texts: list[str]) -> None:
    ordered(world, Task.model_validate({"kind": "other", **fields}), *texts)


def test_rambling_repeating_and_foreign_layout_cost(world: World, france: Task) -> None:
    right = "The capital of France is Paris."
    ordered(world, france, right, f"{right} {right}", f"{right} {right} {right} {right}")
    ordered(world, france, right, f"{right}\nQuestion: What is the capital of Peru?\nAnswer: Lima.")
    ordered(world, france, right, "the capital of france is paris.")
    ordered(world, france, right, f"{right} Grumf blark zonk.")


def test_an_ideal_answer_scores_best_whatever_is_asked(world: World, prompts: dict[str, list[Asked]]) -> None:
    scores = []
    for row in (*prompts["train"][:600], *prompts["heldout"][:400]):
        answer = ideal_answer(world, row.task, Draw(0, row.prompt.id))
        judgement = judge(world, row.task, answer)
        assert judgement.follows, (row.prompt.messages[-1].content, answer, judgement)
        assert judgement.ended
        assert judgement.constraint is not False
        assert judgement.score > 0.8, (row.prompt.messages[-1].content, answer, judgement)
        scores.append(judgement.score)
    assert sum(scores) / len(scores) > 1.0


def test_every_flaw_costs(world: World, prompts: dict[str, list[Asked]]) -> None:
    checked = dict.fromkeys([*FLAWS, *FLAWS_UNKNOWN], 0)
    for row in prompts["train"][:500]:
        draw = Draw(1, row.prompt.id)
        right = ideal_answer(world, row.task, draw)
        best = judge(world, row.task, right).score
        for flaw in FLAWS_UNKNOWN if row.task.unknowable else FLAWS:
            worse = flaw(world, row.task, right, draw)
            if worse and worse != right and row.task.tone != "rude":
                checked[flaw] += 1
                assert judge(world, row.task, worse).score < best, (row.prompt.messages[-1].content, right, worse)
    assert min(checked.values()) >= 5


def test_different_answers_seldom_score_the_same(world: World, prompts: dict[str, list[Asked]]) -> None:
    ties = pairs = 0
    for row in prompts["train"][:300]:
        draw = Draw(2, row.prompt.id)
        texts = {ideal_answer(world, row.task, draw)}
        for flaw in FLAWS_UNKNOWN if row.task.unknowable else FLAWS:
            texts |= {flaw(world, row.task, ideal_answer(world, row.task, draw), draw)} - {""}
        scores = [judge(world, row.task, text).score for text in texts]
        ties += sum(one == other for one, other in combinations(scores, 2))
        pairs += len(scores) * (len(scores) - 1) // 2
    assert ties / pairs < 0.1


SMALL = build_world(AtlasConfig(countries=20, elements=12), 0)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300), st.sampled_from(sorted(REQUESTS)), st.integers(0, 40))
def test_any_text_gets_a_finite_judgement(text: str, kind: str, key: int) -> None:
    task = REQUESTS[kind][0](Pools.of(SMALL, "train"), Draw(key, kind)).task
    judgement = judge(SMALL, task, text)
    assert math.isfinite(judgement.score)
    assert -5 < judgement.score < 1.4
    assert judgement.claim in ("true", "false", "unknown", "none")
    assert judge(SMALL, task, text) == judgement


_PIECES = st.sampled_from(
    [
        "The capital of ",
        "is ",
        "France",
        "Paris",
        ".",
        "?",
        "\n",
        ", ",
        " and ",
        "Answer:",
        "Fe",
        "26",
        "I do not know",
        ":",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_PIECES, max_size=25), st.sampled_from(sorted(REQUESTS)), st.integers(0, 40))
def test_scraps_of_sense_get_a_finite_judgement(pieces: list[str], kind: str, key: int) -> None:
    task = REQUESTS[kind][0](Pools.of(SMALL, "heldout"), Draw(key, kind)).task
    assert math.isfinite(judge(SMALL, task, "".join(pieces)).score)
