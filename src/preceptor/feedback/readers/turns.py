"""From the ways in which others write conversations to ours, and from there to prompts and demonstrations.

What a record does not say clearly enough to learn from is left out and counted by reason, by raising
:class:`UnusableError`; a field that is missing or of a wrong type is an error that names the place.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Literal

from preceptor.feedback.readers.collected import Collected
from preceptor.feedback.readers.places import Place
from preceptor.feedback.readers.tables import present
from preceptor.feedback.schema import Demonstration, Prompt, Ranking, Response
from preceptor.text.conversation import Message
from preceptor.text.layout import Role

ROLES: dict[str, Role | Literal["tool"]] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "bing", "bard"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "function_call", "function_response", "observation", "ipython"), "tool"),
}
TOOLS = "conversations with tool calls"
PARTS = "conversations with images or other parts that are no text"
UNTRAINED = "conversations with assistant turns of weight 0, which are not to be learnt"
TURNS = "conversations in which user and assistant do not take turns, the user first"
BLANK = "conversations with an empty message"
NOT_ENDED = "conversations that do not end with the assistant"
OTHER_PROMPTS = "comparisons whose responses answer different prompts"
SAME = "comparisons of a response with itself"
TOO_FEW = "rankings with fewer than two responses that are not empty"
MESSAGE = 'a message is {"role", "content"} or {"from", "value"}'


class UnusableError(Exception):
    """A record that is well formed and still cannot be used; the reader's caller counts the reason."""


def messages_of(value: Any, place: Place, field: str) -> list[Message]:
    """The messages of a list as they stand, roles in our words."""
    items = [value] if isinstance(value, dict) else value
    if not isinstance(items, list) or not items:
        raise place.error(f"{field}: must be a list of messages that is not empty; {MESSAGE}")
    messages = []
    for index, item in enumerate(items):
        message = _message(item, place, f"{field}.{index}")
        if message.role != "system" or message.content.strip():
            messages.append(message)
    return messages


def _message(item: Any, place: Place, where: str) -> Message:
    if not isinstance(item, dict):
        raise place.error(f"{where}: is no message; {MESSAGE}")
    item = present(item)
    given = item.get("role", item.get("from"))
    role = ROLES.get(given.strip().lower()) if isinstance(given, str) else None
    if role is None:
        raise place.error(f"{where}: the role {given!r} is not known; use system, user or assistant")
    if role == "tool" or item.get("tool_calls") or item.get("function_call"):
        raise UnusableError(TOOLS)
    if role == "assistant" and item.get("weight") == 0:
        raise UnusableError(UNTRAINED)
    content = next((item[key] for key in ("content", "value", "text") if key in item), "")
    if isinstance(content, list):
        content = _joined(content)
    if not isinstance(content, str):
        raise place.error(f"{where}: its content is no text; {MESSAGE}")
    return Message(role=role, content=content)


def _joined(parts: list[Any]) -> str:
    """The text of a content given in parts, as in ``[{"type": "text", "text": "..."}]``."""
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    words = [text for text in texts if isinstance(text, str)]
    if len(words) < len(texts):
        raise UnusableError(PARTS)
    return "".join(words)


def check_turns(messages: Sequence[Message]) -> None:
    """System messages first, then user and assistant in turn, no message blank; else :class:`UnusableError`."""
    turns = [message for message in messages if message.role != "system"]
    if not turns or any(m.role == "system" for m in messages[len(messages) - len(turns) :]):
        raise UnusableError(TURNS)
    if any(turn.role != ("user", "assistant")[index % 2] for index, turn in enumerate(turns)):
        raise UnusableError(TURNS)
    if any(not turn.content.strip() for turn in turns):
        raise UnusableError(BLANK)


def is_transcript(text: Any) -> bool:
    """Whether a text is a conversation as Anthropic writes them: ``\\n\\nHuman: ...\\n\\nAssistant: ...``."""
    return isinstance(text, str) and re.match(r"\s*Human:", text) is not None and "\n\nAssistant:" in text


def transcript(text: str) -> list[Message]:
    """The messages of a transcript. An empty turn of the assistant at the end, where the answer goes, is left out.

    The format has no escapes: who types "Human:" after a blank line begins a turn. Such a conversation mostly
    falls out of turn, and is then left out.
    """
    _, *parts = re.split(r"(?:^|\n\n)\s*(Human|Assistant):", text)
    roles: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
    messages = [
        Message(role=roles[name], content=content.strip())
        for name, content in zip(parts[::2], parts[1::2], strict=True)
    ]
    if messages and messages[-1].role == "assistant" and not messages[-1].content:
        messages.pop()
    check_turns(messages)
    return messages


# to prompts, demonstrations and rankings ---------------------------------------------------------


def text_prompt(messages: Sequence[Message], source: str, kind: str = "other") -> Prompt:
    """A prompt whose id is made from its words, so that it stays when the file is cut or sorted.

    These formats name no users: each prompt is its own, and the split keeps those with one beginning together.
    """
    written = "\0".join(f"{message.role}\0{message.content}" for message in messages)
    name = f"{source}-{hashlib.blake2b(written.encode(), digest_size=8).hexdigest()}"
    return Prompt(id=name, user=name, messages=list(messages), source=source, kind=kind)


def add_conversation(
    messages: Sequence[Message], source: str, place: Place, into: Collected, kind: str = "other"
) -> None:
    """Add a whole conversation: a demonstration with its prompt, or only a prompt if the user has the last word."""
    if messages[-1].role == "user":
        into.add_prompt(text_prompt(messages, source, kind), place)
        into.skip("demonstrations", NOT_ENDED)
        return
    prompt = text_prompt(messages[:-1], source, kind)
    into.add_prompt(prompt, place)
    into.demonstrations.append(Demonstration(prompt_id=prompt.id, messages=list(messages)))


def add_ranking(
    messages: Sequence[Message],
    responses: Sequence[Response],
    ranks: Sequence[int],
    source: str,
    place: Place,
    into: Collected,
    labeler: str = "",
    kind: str = "other",
    keep_blank: bool = False,
) -> None:
    """Add a ranking with its prompt; 1 is best. Blank responses are left out unless people have judged them as such."""
    if messages[-1].role != "user":
        raise UnusableError(TURNS)
    prompt = text_prompt(messages, source, kind)
    into.add_prompt(prompt, place)
    kept = [
        (Response(text=response.text.strip(), model=response.model), rank)
        for response, rank in zip(responses, ranks, strict=True)
        if keep_blank or response.text.strip()
    ]
    if len(kept) < 2:
        into.skip("rankings", TOO_FEW)
    elif len({response.text for response, _ in kept}) == 1 and len({rank for _, rank in kept}) > 1:
        into.skip("rankings", SAME)
    else:
        # Ranks without gaps, which a response left out may have made.
        order = sorted({rank for _, rank in kept})
        into.rankings.append(
            Ranking(
                prompt_id=prompt.id,
                messages=list(messages),
                responses=[response for response, _ in kept],
                ranks=[order.index(rank) + 1 for _, rank in kept],
                labeler=labeler,
            )
        )
