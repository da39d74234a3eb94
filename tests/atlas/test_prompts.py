"""Prompts: the mix, the users, the hygiene, and who may see what."""

from collections import Counter

from preceptor.atlas.facts import World
from preceptor.atlas.prompts import Asked, build_prompts
from preceptor.atlas.requests import REQUESTS
from preceptor.atlas.settings import AtlasConfig
from preceptor.feedback.hygiene import cap_per_user, drop_duplicates, drop_shared_prefixes

Parts = dict[str, list[Asked]]


def test_sizes_are_exact(world: World, prompts: Parts) -> None:
    config = world.config
    wanted = {"train": config.train_prompts, "dev": config.dev_prompts, "heldout": config.heldout_prompts}
    assert {part: len(rows) for part, rows in prompts.items()} == wanted
    ids = [row.prompt.id for rows in prompts.values() for row in rows]
    assert len(ids) == len(set(ids))


def test_no_user_is_in_two_parts_and_users_have_a_handful_to_many(prompts: Parts) -> None:
    users = {part: {row.prompt.user for row in rows} for part, rows in prompts.items()}
    assert not users["train"] & users["dev"]
    assert not users["train"] & users["heldout"]
    assert not users["dev"] & users["heldout"]
    counts = Counter(row.prompt.user for row in prompts["train"]).values()
    assert min(counts) < 5
    assert 40 < max(counts) <= 200


def test_a_user_never_moves_when_a_part_grows(world: World, prompts: Parts) -> None:
    config = world.config.model_copy(update={"train_prompts": 600, "dev_prompts": 60, "heldout_prompts": 200})
    small = build_prompts(world, config, world.seed)
    # Hygiene may drop all of a user's prompts when there are many others; it never moves the user.
    for part, rows in small.items():
        elsewhere = {row.prompt.user for other in prompts if other != part for row in prompts[other]}
        assert not {row.prompt.user for row in rows} & elsewhere


def test_hygiene_finds_nothing_more_to_drop(world: World, prompts: Parts) -> None:
    everything = [row.prompt for rows in prompts.values() for row in rows]
    assert len(drop_duplicates(everything)) == len(everything)
    for rows in prompts.values():
        part = [row.prompt for row in rows]
        assert len(cap_per_user(part)) == len(part)
        assert len(drop_shared_prefixes(part, prefix_words=world.config.prefix_words)) == len(part)


def test_every_use_case_has_its_share(world: World) -> None:
    # At a size at which few prompts repeat: later on, hygiene takes more from the small use cases.
    config = world.config.model_copy(update={"train_prompts": 3000})
    rows = build_prompts(world, config, world.seed)["train"]
    kinds = Counter(row.prompt.kind for row in rows)
    for kind, (_, share) in REQUESTS.items():
        assert abs(kinds[kind] / len(rows) - share) < 0.02, kind
        assert kinds[kind] / len(rows) >= 0.015
    assert all(row.task.kind == row.prompt.kind for row in rows)


def test_styles_ways_of_asking_and_tones(prompts: Parts) -> None:
    rows = prompts["train"]
    styles = Counter(row.task.style for row in rows)
    asked = Counter(row.task.asked for row in rows)
    tones = Counter(row.task.tone for row in rows)
    assert all(styles[style] / len(rows) > 0.03 for style in ("few-shot", "user-based"))
    assert all(asked[way] / len(rows) > 0.01 for way in ("examples", "continuation"))
    assert 0.02 < tones["rude"] / len(rows) < 0.05
    assert any(row.prompt.messages[0].role == "system" for row in rows)
    assert any(len(row.prompt.messages) >= 3 for row in rows)


def test_questions_about_what_cannot_be_known_are_of_their_own_part(world: World, prompts: Parts) -> None:
    for part, rows in prompts.items():
        test = part == "heldout"
        withheld = world.withheld_test if test else world.withheld_train
        invented = world.invented_test if test else world.invented_train
        names = {entity.name for entity in (*withheld, *invented)}
        strange = [row for row in rows if row.task.unknowable]
        assert {row.task.subject for row in strange} <= names
        facts = [row for row in rows if row.task.kind == "open_qa"]
        for status in ("withheld", "invented"):
            share = sum(row.task.status == status for row in facts) / len(facts)
            assert 0.05 < share < 0.2


def test_readings_cannot_be_remembered(world: World, prompts: Parts) -> None:
    for rows in prompts.values():
        for row in rows:
            if row.task.status == "given":
                assert world.named(row.task.subject).status == "invented"
                text = row.prompt.messages[-1].content
                assert all(value in text for value in row.task.given.values())


def test_prompts_are_short(prompts: Parts) -> None:
    rows = [row for part in prompts.values() for row in part]
    assert max(sum(len(message.content.split()) for message in row.prompt.messages) for row in rows) <= 50


def test_small_worlds_work_too() -> None:
    from preceptor.atlas.facts import build_world

    config = AtlasConfig(countries=20, elements=10, train_prompts=60, dev_prompts=20, heldout_prompts=20)
    parts = build_prompts(build_world(config, 0), config, 0)
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 60, "dev": 20, "heldout": 20}


def test_one_prompt_in_six_comes_after_other_exchanges_and_its_task_is_the_last(world: World, prompts: Parts) -> None:
    rows = [row for part in prompts.values() for row in part]
    later = [row for row in rows if sum(message.role == "user" for message in row.prompt.messages) > 1]
    assert 0.1 < len(later) / len(rows) < 0.25
    assert len({row.prompt.kind for row in later}) > 6, "not a matter of chat alone"
    for row in later:
        turns = [message for message in row.prompt.messages if message.role != "system"]
        assert [message.role for message in turns] == ["user", "assistant"] * (len(turns) // 2) + ["user"]
        assert turns[-1].content not in [message.content for message in turns[:-1]]
        if row.task.form == "fact" and row.prompt.kind == "open_qa" and row.task.style == "plain":
            assert row.task.subject in turns[-1].content
            assert row.task.subject not in turns[0].content, "the earlier question is about something else"


def test_earlier_exchanges_tell_the_truth_and_nothing_withheld(world: World, prompts: Parts) -> None:
    withheld = [entity.prose for entity in (*world.withheld_train, *world.withheld_test)]
    invented = [entity.name for entity in (*world.invented_train, *world.invented_test)]
    told = Counter[str]()
    for part in prompts.values():
        for row in part:
            turns = [message.content for message in row.prompt.messages if message.role != "system"]
            if row.task.kind == "chat":  # asks on about one subject, and has its own rules
                continue
            for question, answer in zip(turns[:-1:2], turns[1:-1:2], strict=True):
                assert not any(name in question.removesuffix("?").split() for name in withheld), question
                unknown = any(name in question for name in invented)
                told["unknown" if unknown else "known"] += 1
                assert answer.startswith("I do not know") == unknown
    assert 0.05 < told["unknown"] / told.total() < 0.35


def test_a_conversation_leaves_room_for_its_response(prompts: Parts) -> None:
    for rows in prompts.values():
        assert max(sum(len(message.content) for message in row.prompt.messages) for row in rows) < 420
