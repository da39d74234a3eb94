"""A labeler's day, in a real browser: coming in, writing, ranking by mouse and by keyboard, comparing."""

from itertools import product

from playwright.sync_api import Locator, Page

from preceptor.feedback.pairs import dense_ranks
from preceptor.feedback.schema import FLAGS
from preceptor.feedback.store.invitations import invite
from preceptor.feedback.store.judged import read_demonstrations, read_prompts, read_rankings, read_ratings
from preceptor.feedback.store.people import find_person

from .labeling_site import OUTPUTS, PASSWORD, Site
from .visits import Visits

SAVED = "Saved. Thank you."


def card(page: Page, text: str) -> Locator:
    """The card of the output with this text."""
    return page.locator("article.output").filter(has=page.get_by_text(text, exact=True))


def number(page: Page, text: str) -> int:
    """Which card it is, from 0."""
    return int(card(page, text).get_attribute("data-card") or "")


def drag(page: Page, chip: int, target: Locator, at: float = 0.5) -> None:
    """Drag a chip of the board onto something, ``at`` says how far down."""
    box = page.locator(f'[data-chip="{chip}"] .excerpt').bounding_box()
    place = target.bounding_box()
    assert box is not None and place is not None
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] * at, steps=6)
    page.mouse.up()


def test_an_invitation_leads_through_the_terms_to_the_tasks(site: Site, visit: Visits) -> None:
    token = invite(site.store, note="for eve")
    page = visit(None, f"join#{token}")
    page.get_by_label("Name").fill("Eve")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password, once more").fill("something else")
    page.get_by_role("button", name="Create the account").click()
    page.get_by_text("The two passwords are not the same.").wait_for()
    page.get_by_label("Password, once more").fill(PASSWORD)
    page.get_by_role("button", name="Create the account").click()
    page.get_by_role("heading", name="Terms of taking part").wait_for()
    page.get_by_label("I have read the terms and agree to them.").check()
    page.get_by_role("button", name="Agree and begin").click()
    page.get_by_role("heading", name="Hello, eve").wait_for()
    eve = find_person(site.store, "eve")
    assert eve is not None and eve.consent_version == 1
    assert token not in page.url


def test_a_used_invitation_and_a_wrong_password_are_refused_in_words(site: Site, visit: Visits) -> None:
    visit.expected += ["404", "401"]
    page = visit(None, "join#no-such-token-at-all")
    page.get_by_text("This invitation is unknown, used or over.").wait_for()
    page.get_by_role("link", name="Sign in").click()
    page.get_by_label("Name").fill("ana")
    page.get_by_label("Password").fill("not her password")
    page.keyboard.press("Enter")
    page.get_by_text("The name or the password is wrong.").wait_for()
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Hello, ana").wait_for()
    page.get_by_label("Account of ana").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in").wait_for()


def test_write_a_demonstration_and_correct_it(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/write%20replies")
    page.get_by_text("Explain tides to a child.").wait_for()
    page.get_by_role("button", name="Submit").click()
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"  # what is missing has the focus
    page.get_by_label("The reply you would want").fill("The moon pulls\nthe sea.")
    page.get_by_text("Ready to submit").wait_for()
    page.keyboard.press("Control+Enter")
    page.get_by_text("Nothing left to do here").wait_for()
    (found, _), *rest = read_demonstrations(site.store)
    assert found.messages[-1].content == "The moon pulls\nthe sea." and not rest
    page.goto(f"{site.url}/#/history")
    page.get_by_role("link", name="Explain tides to a child.").click()
    page.get_by_role("heading", name="Correct: Demonstration").wait_for()
    box = page.get_by_label("The reply you would want")
    assert box.input_value() == "The moon pulls\nthe sea."
    box.fill("The moon pulls the sea towards it.")
    page.get_by_role("button", name="Save the correction").click()
    page.get_by_role("heading", name="What I did").wait_for()
    assert [one.messages[-1].content for one, _ in read_demonstrations(site.store)] == [
        "The moon pulls the sea towards it."
    ]


def test_write_a_few_shot_prompt(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/write%20prompts")
    assert page.get_by_role("radio", name="Few-shot").is_checked()
    assert page.get_by_role("radio", name="Plain").is_disabled()
    assert page.get_by_label("Use case").input_value() == "classification"
    assert page.get_by_role("radio", name="Directly").is_disabled()  # a few-shot prompt asks by examples
    for place, (query, response) in enumerate([("good day", "friendly"), ("go away", "rude")]):
        page.get_by_label("Query", exact=True).nth(place).fill(query)
        page.get_by_label("Response").nth(place).fill(response)
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("status").get_by_text("Write the last query").wait_for()
    page.keyboard.type("how nice")
    page.get_by_text("good day\nfriendly\n\ngo away\nrude\n\nhow nice").wait_for()
    page.get_by_role("button", name="Submit").click()
    page.get_by_text(SAVED).first.wait_for()
    (written,) = [one for one in read_prompts(site.store) if one.source.startswith("labeler/")]
    assert written.messages[0].content == "good day\nfriendly\n\ngo away\nrude\n\nhow nice"
    assert written.kind == "classification"


def test_rank_with_ties_by_mouse(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/france")
    full, short, wrong, unknown = (number(page, text) for text in OUTPUTS)
    level = page.locator("li.level")
    drag(page, full, page.locator("li.gap.first"))
    drag(page, wrong, level.nth(0), 0.95)  # below it: a level of its own
    drag(page, short, level.nth(0), 0.5)  # on it: a tie
    drag(page, unknown, page.locator('[data-drop="gap:1"]'))  # between the two
    assert level.count() == 3
    assert page.locator("li.level").nth(0).locator(".chip").count() == 2
    assert "tied with" in (card(page, OUTPUTS[1]).locator(".rank-words").text_content() or "")
    for text, overall in zip(OUTPUTS, (7, 6, 1, 3), strict=True):
        card(page, text).get_by_role("radio", name=str(overall)).check(force=True)
    card(page, OUTPUTS[2]).get_by_label("Hallucination").check()
    page.get_by_label("Note for the reviewers").fill("Lyon!")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text(SAVED).first.wait_for()
    (judged,) = read_rankings(site.store, queue="france")
    ranks = dict(zip((one.text for one in judged.ranking.responses), judged.ranking.ranks, strict=True))
    assert [ranks[text] for text in OUTPUTS] == [1, 1, 3, 2]
    assert judged.note == "Lyon!" and not judged.all_bad
    ratings = {one.response: one for one, _ in read_ratings(site.store)}
    assert [ratings[text].overall for text in OUTPUTS] == [7, 6, 1, 3]
    assert [name for name, on in ratings[OUTPUTS[2]].flags.items() if on] == ["hallucination"]
    assert judged.seconds is not None and 0 < judged.seconds < 60


def test_drag_back_off_the_board(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/france")
    drag(page, 0, page.locator("li.gap.first"))
    assert page.locator("li.level").count() == 1
    drag(page, 0, page.locator(".pool-box"), 0.9)
    assert page.locator("li.level").count() == 0
    box = page.locator("article.output h2").first.bounding_box()
    place = page.locator("li.gap.first").bounding_box()
    assert box is not None and place is not None
    page.mouse.move(box["x"] + 9, box["y"] + 9)  # a card's own letter can be dragged too
    page.mouse.down()
    page.mouse.move(place["x"] + 60, place["y"] + 20, steps=5)
    page.keyboard.press("Escape")
    page.mouse.up()
    assert page.locator("li.level").count() == 0  # let go of
    page.mouse.move(box["x"] + 9, box["y"] + 9)
    page.mouse.down()
    page.mouse.move(place["x"] + 60, place["y"] + 20, steps=5)
    page.mouse.up()
    assert page.locator("li.level .chip").get_attribute("data-chip") == "0"


def test_rank_with_ties_by_keyboard_alone(site: Site, visit: Visits) -> None:
    """From the first page to the last submission without a mouse."""
    page = visit("ana")
    keys = page.keyboard
    for _ in range(30):
        keys.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Start the next task":
            break
    keys.press("Enter")
    page.get_by_role("heading", name="Ranking").first.wait_for()
    keys.press("?")
    assert page.get_by_role("dialog", name="Keys").get_by_text("Half a step down").is_visible()
    keys.press("Escape")
    order = [number(page, text) for text in OUTPUTS]
    wanted = {OUTPUTS[0]: ("7", "Shift+Digit1"), OUTPUTS[1]: ("6", "Shift+Digit1")}
    wanted |= {OUTPUTS[2]: ("1", "Shift+Digit2"), OUTPUTS[3]: ("3", "Shift+Digit3")}
    for place in range(4):
        keys.press("j")
        assert page.evaluate("document.activeElement.dataset.card") == str(place)
    for place in (3, 2, 1, 0):
        keys.press(wanted[OUTPUTS[order.index(place)]][0])
        keys.press("k")
    while page.evaluate("document.activeElement.dataset.card") != str(order[0]):
        keys.press("k")
    for text in OUTPUTS:
        while page.evaluate("document.activeElement.dataset.card") != str(number(page, text)):
            keys.press("j")
        keys.press(wanted[text][1])
        if text == OUTPUTS[2]:
            keys.press("h")
    keys.press("Shift+ArrowUp")  # the last one, alone on level 3, joins level 2 ...
    keys.press("Shift+ArrowUp")  # ... and leaves it upwards
    announced = page.locator("#live")
    page.get_by_text("rank 2. 0 to rank").wait_for(state="attached")
    assert "rank 2" in (announced.text_content() or "")
    keys.press("b")
    keys.press("n")
    keys.type("typed b and j here")  # in a text field letters are letters
    keys.press("Control+Enter")
    page.get_by_text(SAVED).first.wait_for()
    (judged,) = read_rankings(site.store, queue="france")
    ranks = dict(zip((one.text for one in judged.ranking.responses), judged.ranking.ranks, strict=True))
    assert [ranks[text] for text in OUTPUTS] == [1, 1, 3, 2]
    assert judged.all_bad and judged.note == "typed b and j here"
    assert [one.overall for one, _ in read_ratings(site.store) if one.response == OUTPUTS[2]] == [1]


def test_every_flag_of_the_server_has_a_key_of_its_own(visit: Visits) -> None:
    page = visit("ana", "#/work/france")
    keys = page.evaluate("async () => Object.entries((await import('/static/js/ranking/card.js')).FLAG_KEYS)")
    assert [flag for flag, _ in keys] == list(FLAGS)
    page.keyboard.press("?")
    listed = page.locator(".key-row dt").all_text_contents()
    assert {key.upper() for _, key in keys} < set(listed)
    assert len(set(listed)) == len(listed)


def test_single_keys_can_be_switched_off(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/france")
    page.keyboard.press("?")
    page.get_by_label("Keys without Ctrl work").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    assert not page.get_by_label("All are bad").is_checked()
    page.keyboard.press("?")
    page.get_by_label("Keys without Ctrl work").check()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    assert page.get_by_label("All are bad").is_checked()


def test_order_by_ratings(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/france")
    for place, overall in enumerate((3, 5, 3, 7)):
        page.locator("article.output").nth(place).get_by_role("radio", name=str(overall)).check(force=True)
    page.get_by_role("button", name="By ratings").click()
    levels = [one.locator(".chip").count() for one in page.locator("li.level").all()]
    assert levels == [1, 1, 2]
    page.get_by_text("Ready to submit").wait_for()


def test_compare_two_blind(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/duel")
    assert "model-" not in (page.locator("main").text_content() or "")
    place = page.locator("article.output").filter(has_text="You are doing well.").get_attribute("data-card")
    page.keyboard.press("a" if place == "0" else "b")
    page.keyboard.press("Control+Enter")
    page.get_by_text(SAVED).first.wait_for()
    (judged,) = read_rankings(site.store, kind="comparison")
    best = judged.ranking.responses[judged.ranking.ranks.index(1)]
    assert best.text == "You are doing well."


def test_skip_with_a_reason(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/duel")
    page.keyboard.press("x")
    dialog = page.get_by_role("dialog", name="Skip this task")
    dialog.get_by_label("I lack the knowledge for it").check()
    dialog.get_by_role("button", name="Skip").click()
    page.get_by_text("Nothing left to do here").wait_for()
    page.goto(f"{site.url}/#/history")
    page.get_by_text("I lack the knowledge for it").wait_for()


def test_half_steps_reach_every_order(visit: Visits) -> None:
    """The pure functions of the board, where the browser has them."""
    found = visit("ana").evaluate(
        """async () => {
          const board = await import("/static/js/ranking/board.js");
          const seen = new Map();
          const open = [[[0, 1, 2]]];
          while (open.length) {
            const levels = open.pop();
            if (seen.has(JSON.stringify(levels))) continue;
            seen.set(JSON.stringify(levels), board.toRanks(levels, 3));
            for (const card of [0, 1, 2]) open.push(board.raise(levels, card), board.lower(levels, card));
          }
          return {
            orders: [...seen.values()],
            back: [...seen.values()].every((ranks) => seen.has(JSON.stringify(board.fromRanks(ranks)))),
            sorted: board.byRatings([3, 7, null, 3]),
            off: board.without([[0, 1], [2]], 2),
            ranked: [board.toRank([[0], [1], [2]], 0, 2), board.toRank([[0], [1]], 2, 9), board.toRank([[0, 1]], 1, 1)],
            bad: [[[0, 0]], [[3]], [[]], "x", [[0.5]]].map((levels) => board.isLevels(levels, 3)),
          };
        }"""
    )
    every = {tuple(dense_ranks([-one for one in ranks])) for ranks in product((1, 2, 3), repeat=3)}
    assert len(every) == 13
    assert {tuple(ranks) for ranks in found["orders"]} == every
    assert found["back"]
    assert found["sorted"] == [[1], [0, 3]]
    assert found["off"] == [[0, 1]]
    assert found["ranked"] == [[[1], [0, 2]], [[0], [1], [2]], [[0, 1]]]
    assert found["bad"] == [False] * 5
