"""What readers hand on: prompts, demonstrations and rankings, and where each came from."""

from dataclasses import dataclass, field

from preceptor.feedback.readers.places import Place
from preceptor.feedback.schema import Demonstration, Prompt, Ranking


@dataclass
class Collected:
    """The feedback of some files.

    Every demonstration and ranking has its prompt here. ``prompt.user`` is what must stay
    together when the data are split: the tree, the task or the prompt itself, where the format
    knows no users.
    """

    prompts: dict[str, Prompt] = field(default_factory=dict)  # by id
    demonstrations: list[Demonstration] = field(default_factory=list)
    rankings: list[Ranking] = field(default_factory=list)
    skipped: dict[str, dict[str, int]] = field(default_factory=dict)  # of what -> reason -> how many
    places: dict[str, Place] = field(default_factory=dict)  # of each prompt, for errors
    with_users: set[str] = field(default_factory=set)  # ids of prompts whose ``user`` is a person

    def add_prompt(self, prompt: Prompt, place: Place) -> None:
        """Keep a prompt; one id may name one prompt only, in all files together."""
        known = self.prompts.setdefault(prompt.id, prompt)
        self.places.setdefault(prompt.id, place)
        if known.messages != prompt.messages:
            raise place.error(
                f"prompt {prompt.id!r} has other messages than at {self.places[prompt.id]}; "
                "give each prompt an id of its own"
            )

    def skip(self, of: str, reason: str, count: int = 1) -> None:
        """Count what was left out of the demonstrations, of the rankings or of all ("records")."""
        if count:
            reasons = self.skipped.setdefault(of, {})
            reasons[reason] = reasons.get(reason, 0) + count
