"""Simulated labelers: reproducible, fallible, and as much at one as the paper's."""

import pytest

from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import World
from preceptor.atlas.flaws import flawed
from preceptor.atlas.prompts import Asked
from preceptor.atlas.raters import SimulatedLabeler, labelers, pairwise_agreement
from preceptor.atlas.requests import fact_task
from preceptor.atlas.rubric import judge
from preceptor.atlas.settings import AtlasConfig

RESPONSES = ["The capital of France is Paris.", "Paris.", "I do not know.", "The capital of France is Lima."]


@pytest.fixture(scope="module")
def crew(world: World) -> list[SimulatedLabeler]:
    return labelers(world.config, seed=0)


def test_there_are_as_many_as_the_config_says_each_with_a_name(world: World, crew: list[SimulatedLabeler]) -> None:
    assert len({labeler.name for labeler in crew}) == world.config.labelers


def test_ranks_are_dense_and_depend_on_key_and_text_alone(world: World, crew: list[SimulatedLabeler]) -> None:
    task = fact_task(world.named("France"), "capital")
    labeler = crew[0]
    ranks = labeler.rank(world, task, RESPONSES, "p1")
    assert sorted(set(ranks)) == list(range(1, max(ranks) + 1))
    assert labelers(world.config, seed=0)[0].rank(world, task, RESPONSES, "p1") == ranks
    assert labeler.rank(world, task, RESPONSES[::-1], "p1") == ranks[::-1]
    judged = [judge(world, task, text) for text in RESPONSES]
    assert labeler.rank_judged(judged, RESPONSES, "p1") == ranks
    assert any(labeler.rank(world, task, RESPONSES, f"p{n}") != ranks for n in range(30))


def test_equal_texts_are_tied(world: World, crew: list[SimulatedLabeler]) -> None:
    task = fact_task(world.named("France"), "capital")
    for labeler in crew[:10]:
        first, _, again = labeler.rank(world, task, ["Paris.", "Go away, fool.", "Paris."], "p")
        assert first == again


def test_without_noise_and_bias_labelers_rank_as_gold_does(world: World) -> None:
    config = world.config.model_copy(update={"noise_scale": 0.0, "bias_scale": 0.0, "tie_width": 0.0})
    task = fact_task(world.named("France"), "capital")
    assert SimulatedLabeler("anna", 0, config).rank(world, task, RESPONSES, "p") == [1, 2, 3, 4]


def test_two_labelers_agree_as_often_as_the_papers_did(
    world: World, crew: list[SimulatedLabeler], prompts: dict[str, list[Asked]]
) -> None:
    """72.6 +- 1.5 % of pairs (InstructGPT, section 3.4), on responses as a model of this world samples them.

    What the SFT model writes is like demonstrations, half of them flawed, a third worsened once more, and now and
    then beside the point, here the answer to another prompt. A tenth of those gives pairs as far apart as the
    quickstart's first samples (mean difference in gold .77, there .75), on which labelers agree in 72.7 %.
    """
    same = pairs = 0.0
    rows = prompts["train"][::20]
    for number, row in enumerate(rows):
        draw = Draw(0, "agreement", row.prompt.id)
        texts = []
        for turn in range(6):
            text = crew[(number + turn) % len(crew)].demonstrate(world, row.task, row.prompt.id, turn)
            if draw.chance(0.1):
                text = crew[number % len(crew)].demonstrate(world, draw.pick(rows).task, row.prompt.id, turn)
            texts.append(flawed(world, row.task, text, draw) if draw.chance(0.35) else text)
        texts = list(dict.fromkeys(texts))
        judged = [judge(world, row.task, text) for text in texts]
        count = len(texts) * (len(texts) - 1) // 2
        if count:
            ranks = [labeler.rank_judged(judged, texts, row.prompt.id) for labeler in draw.some(crew, 5)]
            same += count * pairwise_agreement(ranks)
            pairs += count
    assert 0.711 < same / pairs < 0.741, same / pairs


def test_agreement_counts_a_tie_as_an_order() -> None:
    assert pairwise_agreement([[1, 2, 3], [1, 2, 3]]) == 1
    assert pairwise_agreement([[1, 2], [2, 1]]) == 0
    assert pairwise_agreement([[1, 1], [2, 1]]) == 0
    assert pairwise_agreement([[1, 1], [1, 1]]) == 1
    assert pairwise_agreement([[1, 2, 3], [1, 3, 2]]) == pytest.approx(2 / 3)


def test_demonstrations_are_of_uneven_quality(
    world: World, crew: list[SimulatedLabeler], prompts: dict[str, list[Asked]]
) -> None:
    rows = prompts["train"][:800]
    texts = [crew[n % len(crew)].demonstrate(world, row.task, row.prompt.id) for n, row in enumerate(rows)]
    assert all(text.strip() for text in texts)
    judged = [judge(world, row.task, text) for row, text in zip(rows, texts, strict=True)]
    good = sum(one.follows and one.claim != "false" and one.ended for one in judged) / len(judged)
    assert 0.5 < good < 0.7
    assert 0.01 < sum(one.rude for one in judged) / len(judged) < 0.15
    guesses = [one.claim == "false" for one, row in zip(judged, rows, strict=True) if row.task.unknowable]
    assert 0.3 < sum(guesses) / len(guesses) < 0.55


def test_ratings_follow_quality(world: World) -> None:
    task = fact_task(world.named("France"), "capital")
    labeler = SimulatedLabeler("anna", 0, AtlasConfig(noise_scale=0.0, bias_scale=0.0))
    rated = [labeler.rate(world, task, text, "p") for text in [*RESPONSES, "Go away, fool."]]
    overall = [value for value, _ in rated]
    assert overall[0] >= 6
    assert overall[:4] == sorted(overall[:4], reverse=True)
    assert all(1 <= value <= 7 for value in overall)


def test_flags_are_mostly_right(world: World, crew: list[SimulatedLabeler]) -> None:
    task = fact_task(world.named("France"), "capital")
    right = wrong = 0
    for labeler in crew:
        _, flags = labeler.rate(world, task, "The capital of France is Lima. Now go away, fool.", "p")
        right += flags["inappropriate"] + flags["hallucination"] + flags["fails_instruction"]
        wrong += flags["sexual"] + flags["violent"]
    assert right > 0.85 * 3 * len(crew)
    assert wrong == 0
