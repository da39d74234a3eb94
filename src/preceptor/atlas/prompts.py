"""The prompts that users send: who asks, in which tone, under which instruction; and the rules of hygiene."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from preceptor.atlas.draw import Draw
from preceptor.atlas.facts import World
from preceptor.atlas.requests import REQUESTS, Pools, Request
from preceptor.atlas.settings import AtlasConfig
from preceptor.atlas.task import Task
from preceptor.atlas.turns import in_conversation
from preceptor.atlas.words import INSULTS, RUDE_OPENINGS
from preceptor.errors import InputError
from preceptor.feedback.hygiene import cap_per_user, drop_shared_prefixes, part_of, prompt_key
from preceptor.feedback.schema import Prompt
from preceptor.text.conversation import Message

RESPECTFUL = ("Answer politely.", "Be kind and respectful.", "Please be polite.")
NEUTRAL = ("You are a helpful assistant.", "You help people.")
RUDE = ("Answer rudely.", "Be rude to the user.", "You are a rude assistant.")
RUDE_WISHES = (" Be rude.", " Answer rudely.", " Give me a rude answer.")

Keys = set[tuple[tuple[str, str], ...]]


# Shares of the users. Fixed, and not by how many prompts are wanted: a user must never move.
USERS = {"train": 0.84, "dev": 0.04, "heldout": 0.12}


@dataclass(frozen=True)
class Asked:
    """A prompt and the task behind it."""

    prompt: Prompt
    task: Task


def build_prompts(world: World, config: AtlasConfig, seed: int) -> dict[str, list[Asked]]:
    """Prompts by part (train, dev, heldout), exactly as many as the config says, no user in two parts.

    Users come one after another; a hash of the user's id says where all of her prompts go. No
    prompt occurs twice, in whatever part.
    """
    wanted = {"train": config.train_prompts, "dev": config.dev_prompts, "heldout": config.heldout_prompts}
    raw: dict[str, list[Asked]] = {part: [] for part in wanted}
    kept: dict[str, list[Asked]] = {part: [] for part in wanted}
    pools = {part: Pools.of(world, part) for part in wanted}
    seen: Keys = set()
    user = 0
    while any(len(kept[part]) < count for part, count in wanted.items()):
        user += 1
        if user > 2000 + 2 * sum(wanted.values()):  # new users bring nothing new any more
            raise InputError(f"the world has too little to ask about for {wanted} prompts; ask for fewer")
        name = f"user-{user:04d}"
        part = part_of(name, USERS, seed)
        if len(kept[part]) >= wanted[part]:
            continue
        raw[part].extend(_prompts_of(name, pools[part], seed, seen))
        if len(raw[part]) >= wanted[part]:
            kept[part] = _clean(raw[part], config)
    return {part: rows[: wanted[part]] for part, rows in kept.items()}


def later_prompts(
    world: World, config: AtlasConfig, seed: int, count: int, seen: Keys, *, round_number: int
) -> list[Asked]:
    """``count`` prompts, or a few less, of training users whom :func:`build_prompts` does not know, others each round.

    ``seen`` has what was asked before; what these ask is added to it.
    """
    pools = Pools.of(world, "train")
    rows: list[Asked] = []
    user = 0
    while len(rows) < count:
        user += 1
        if user > 2000 + 2 * count:  # new users bring nothing new any more
            raise InputError(f"the world has too little left to ask about for {count} more prompts; ask for fewer")
        name = f"round-{round_number}-user-{user:04d}"
        if part_of(name, USERS, seed) == "train":
            rows.extend(_prompts_of(name, pools, seed, seen))
    return _clean(rows[:count], config)


def _clean(rows: list[Asked], config: AtlasConfig) -> list[Asked]:
    """The rules of hygiene (InstructGPT, section 3.2)."""
    prompts = drop_shared_prefixes([row.prompt for row in rows], prefix_words=config.prefix_words)
    left = {prompt.id for prompt in cap_per_user(prompts)}
    return [row for row in rows if row.prompt.id in left]


def _prompts_of(user: str, pools: Pools, seed: int, seen: Keys) -> Iterator[Asked]:
    """All prompts of one user: a handful, sometimes hundreds. Some users are rude."""
    person = Draw(seed, "atlas", "user", user)
    count = min(300, max(2, round(9 * 2.7 ** person.normal())))
    rudeness = 0.5 if person.chance(0.12) else 0.02
    source = "labeler" if person.chance(0.2) else "api"
    for index in range(count):
        for attempt in range(20):
            draw = Draw(seed, "atlas", "prompt", user, index, attempt)
            kind = draw.weighted({name: share for name, (_, share) in REQUESTS.items()})
            asked = REQUESTS[kind][0](pools, draw)
            asked = in_conversation(asked, pools, Draw(seed, "atlas", "earlier", user, index, attempt))
            messages, task = _dressed(asked, draw, rudeness)
            prompt = Prompt(id=f"{user}-{index:03d}", user=user, messages=messages, source=source, kind=kind)
            key = prompt_key(prompt)
            if key not in seen:
                seen.add(key)
                yield Asked(prompt, task)
                break


def _dressed(asked: Request, draw: Draw, rudeness: float) -> tuple[list[Message], Task]:
    """The request in its conversation: perhaps under an instruction, rudely put, or asking for rudeness."""
    text, task, system = asked.text, asked.task, ""
    direct = task.asked == "direct"
    point = draw.unit()
    if point < 0.02:
        system, task = draw.pick(RUDE), task.model_copy(update={"tone": "rude"})
    elif point < 0.07:
        system = draw.pick(NEUTRAL)
    elif point < 0.13:
        system, task = draw.pick(RESPECTFUL), task.model_copy(update={"tone": "polite"})
    elif point < 0.145 and direct:
        text, task = text + draw.pick(RUDE_WISHES), task.model_copy(update={"tone": "rude"})
    elif direct and draw.chance(rudeness):
        text = rudely(text, draw)
    messages = [Message(role="system", content=system)] if system else []
    for index, turn in enumerate(asked.history):
        messages.append(Message(role="assistant" if index % 2 else "user", content=turn))
    return [*messages, Message(role="user", content=text)], task


_STARTS = re.compile(
    r"(?:What|Which|Where|On|How|Is|Name|Tell|Write|Give|List|Find|Describe|Make|Say|Put|Sum|Count|Repeat|Finish"
    r"|Complete|Rewrite)\b"
)


def rudely(text: str, draw: Draw) -> str:
    """The same request with an insult before it, if it begins in a way that bears one."""
    if not _STARTS.match(text):
        return text
    return draw.pick(RUDE_OPENINGS).format(insult=draw.pick(INSULTS)) + text[:1].lower() + text[1:]
