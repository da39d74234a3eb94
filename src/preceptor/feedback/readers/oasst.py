"""Open Assistant's conversation trees (one tree a line, "ready for export").

A tree begins with a prompt; every message has replies, and the assistant's replies to one
message were ranked by people: ``rank`` 0 is best. People wrote most replies, models a few.

- A *ranking* is a set of two or more ranked sibling replies, after the messages that lead to them.
- A *demonstration* is a path of best replies: from the root, at each turn of the assistant the best
  reply that a person wrote, at each turn of the prompter every way the conversation went on. It
  ends where nobody answered any more.
- Every turn of a prompter is a *prompt*.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field

from preceptor.feedback.pairs import dense_ranks
from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place, validate
from preceptor.feedback.schema import Demonstration, Prompt, Ranking, Response
from preceptor.text.conversation import Message

SOURCE = "open-assistant"
REFUSED = "messages that are deleted, refused by reviewers or empty, with all that follows them"
MEND = 'a tree is {"message_tree_id", "prompt": {"message_id", "text", "role", "replies": [...]}}'


class TreeMessage(BaseModel):
    """A message of a tree; fields that are not needed are ignored."""

    message_id: str
    text: str
    role: Literal["prompter", "assistant"]
    rank: int | None = Field(default=None, ge=0)
    deleted: bool = False
    review_result: bool | None = None
    synthetic: bool = False
    model_name: str | None = None
    replies: list["TreeMessage"] = []

    @property
    def usable(self) -> bool:
        """Not deleted, not refused by the reviewers, not blank."""
        return not self.deleted and self.review_result is not False and bool(self.text.strip())


class Tree(BaseModel):
    """A line of the file."""

    message_tree_id: str
    prompt: TreeMessage


@dataclass
class Turn:
    """A prompter's message, the conversation up to it, and the usable replies."""

    message: TreeMessage
    messages: list[Message]
    replies: list[TreeMessage]
    on_best_path: bool  # every reply before it was the best human one


def is_tree(record: dict[str, Any]) -> bool:
    """Whether a record is a tree."""
    return "message_tree_id" in record or (isinstance(record.get("prompt"), dict) and "replies" in record["prompt"])


def read_tree(record: dict[str, Any], place: Place, into: Collected) -> None:
    """Add the prompts, demonstrations and rankings of one tree."""
    tree = validate(Tree, record, place, MEND)
    if tree.prompt.role != "prompter":
        raise place.error("the tree begins with a message of the assistant; " + MEND)
    for turn in _turns(tree, place, into):
        prompt = Prompt(id=turn.message.message_id, user=tree.message_tree_id, messages=turn.messages, source=SOURCE)
        into.add_prompt(prompt, place)
        ranked = [reply for reply in turn.replies if reply.rank is not None]
        if len(ranked) >= 2:
            responses = [Response(text=reply.text, model=reply.model_name or "human") for reply in ranked]
            ranks = dense_ranks([-float(reply.rank or 0) for reply in ranked])
            into.rankings.append(
                Ranking(prompt_id=prompt.id, messages=turn.messages, responses=responses, ranks=ranks, labeler=SOURCE)
            )
        best = _best(turn.replies)
        if (
            turn.on_best_path
            and best is not None
            and not any(reply.usable for reply in best.replies if _goes_on(reply))
        ):
            messages = [*turn.messages, Message(role="assistant", content=best.text)]
            into.demonstrations.append(Demonstration(prompt_id=prompt.id, messages=messages))


def _turns(tree: Tree, place: Place, into: Collected) -> Iterator[Turn]:
    """Every turn of a prompter in file order (a stack, since trees may be deeper than Python's own)."""
    stack: list[tuple[TreeMessage, list[Message], bool]] = [(tree.prompt, [], True)]
    while stack:
        message, before, on_best_path = stack.pop()
        if not message.usable:
            into.skip("records", REFUSED)
            continue
        messages = [*before, Message(role="user", content=message.text)]
        replies = []
        for reply in message.replies:
            if reply.role != "assistant":
                raise place.error(f"message {reply.message_id!r}: a prompter answers a prompter; roles must take turns")
            if reply.usable:
                replies.append(reply)
            else:
                into.skip("records", REFUSED)
        yield Turn(message, messages, replies, on_best_path)
        best = _best(replies)
        following = []
        for reply in replies:
            path = [*messages, Message(role="assistant", content=reply.text)]
            for further in reply.replies:
                if further.role != "prompter":
                    raise place.error(
                        f"message {further.message_id!r}: the assistant answers itself; roles must take turns"
                    )
                following.append((further, path, on_best_path and reply is best))
        stack.extend(reversed(following))


def _best(replies: list[TreeMessage]) -> TreeMessage | None:
    """The best reply that a person wrote; unranked ones come last, in file order."""
    human = [reply for reply in replies if not reply.synthetic]
    return min(human, key=lambda reply: float("inf") if reply.rank is None else reply.rank, default=None)


def _goes_on(message: TreeMessage) -> bool:
    """Whether the conversation goes on to another demonstration after this turn of the prompter."""
    return _best([reply for reply in message.replies if reply.usable]) is not None
