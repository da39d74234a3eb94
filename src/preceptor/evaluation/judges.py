"""Who says which of two answers is better: the world's gold rubric, or else the reward model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from preceptor.atlas.facts import World
from preceptor.atlas.rubric import Judgement, judge
from preceptor.atlas.task import Task, read_tasks
from preceptor.atlas.world import load_world
from preceptor.errors import InputError
from preceptor.evaluation.answers import Answer, Question
from preceptor.evaluation.scoring import reward_scores
from preceptor.models.heads import ScalarModel


class Judge(Protocol):
    """Scores answers, each for itself and without knowing which model wrote it."""

    @property
    def name(self) -> str:
        """Who judges, for the report."""
        ...

    def scores(self, questions: Sequence[Question], answers: Sequence[Answer]) -> list[float]:
        """One score an answer; higher is better."""
        ...


@dataclass(frozen=True)
class GoldJudge:
    """The exact rubric of the built-in world. It reads the text alone."""

    world: World
    tasks: Mapping[str, Task]
    name: str = "gold"
    _known: dict[tuple[str, str], Judgement] = field(default_factory=dict, repr=False)

    def scores(self, questions: Sequence[Question], answers: Sequence[Answer]) -> list[float]:
        """The rubric's fine-grained score of each answer."""
        return [self.judgement(q.id, a.text).score for q, a in zip(questions, answers, strict=True)]

    def judgement(self, prompt_id: str, text: str) -> Judgement:
        """Everything the rubric says of one answer. Several measures ask about the same one: it is read once."""
        if prompt_id not in self.tasks:
            raise InputError(f"gold.jsonl has no task for prompt {prompt_id}; write the world's data again")
        if (prompt_id, text) not in self._known:
            self._known[prompt_id, text] = judge(self.world, self.tasks[prompt_id], text)
        return self._known[prompt_id, text]


@dataclass(frozen=True)
class RewardJudge:
    """The reward model, where there is no gold. PPO was trained to please it, so it flatters PPO."""

    model: ScalarModel
    name: str = "reward model"

    def scores(self, questions: Sequence[Question], answers: Sequence[Answer]) -> list[float]:
        """The reward model's score of each answer."""
        return reward_scores(self.model, answers)


def gold_judge(data: Path) -> GoldJudge | None:
    """The gold rubric if ``data`` belongs to the built-in world, None if the data came from people."""
    if not (data / "gold.jsonl").is_file():
        return None
    return GoldJudge(load_world(data), read_tasks(data / "gold.jsonl"))
