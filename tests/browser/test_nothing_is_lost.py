"""Reloads, lost connections, a stopped server, another browser, a session that is over: what was typed stays."""

from playwright.sync_api import expect

from preceptor.feedback.store.judged import read_demonstrations, read_rankings
from preceptor.feedback.store.people import set_password_hash
from preceptor.feedback.tasks import DemonstrationPayload, OutputRating, RankingPayload, held, submit, task

from .labeling_site import HASHER, PASSWORD, Site
from .visits import Visits

REPLY = "The reply you would want"
WORDS = "Twice a day the sea comes and goes.\nThe moon pulls it."


def test_a_draft_survives_a_reload_at_once(visit: Visits) -> None:
    page = visit("ana", "#/work/write%20replies")
    page.get_by_label(REPLY).fill(WORDS)
    page.reload()
    expect(page.get_by_label(REPLY)).to_have_value(WORDS)
    page.get_by_text("Your draft is back").wait_for()


def test_a_draft_is_there_in_another_browser(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/france")
    page.get_by_role("radio", name="6").first.check(force=True)
    page.get_by_label("Opinion").first.check()
    page.keyboard.press("Escape")
    page.get_by_label("Move A up").first.click()
    page.get_by_text("Draft saved").wait_for()
    other = visit("ana", "#/work/france")
    assert other.get_by_role("radio", name="6").first.is_checked()
    assert other.get_by_label("Opinion").first.is_checked()
    assert other.locator("li.level").count() == 1
    assert len(held(site.store, site.people["ana"])) == 1


def test_a_stopped_server_takes_nothing_and_the_answer_goes_out_when_it_is_back(site: Site, visit: Visits) -> None:
    visit.expected += ["ERR_CONNECTION_REFUSED"]
    page = visit("ana", "#/work/write%20replies")
    site.stop()
    page.get_by_label(REPLY).fill(WORDS)
    page.get_by_text("Draft kept in this browser").wait_for()
    page.keyboard.press("Control+Enter")
    page.get_by_text("Your answer is kept and will be sent by itself.").wait_for()
    assert page.locator(".banner").is_visible()
    assert page.get_by_label(REPLY).input_value() == WORDS
    assert list(read_demonstrations(site.store)) == []
    site.start()
    page.get_by_text("Nothing left to do here").wait_for()
    assert page.locator(".banner").is_hidden()
    assert [one.messages[-1].content for one, _ in read_demonstrations(site.store)] == [WORDS]


def test_going_offline_and_on_editing_sends_the_last_words_only(site: Site, visit: Visits) -> None:
    visit.expected += ["ERR_INTERNET_DISCONNECTED"]
    page = visit("ana", "#/work/write%20replies")
    page.context.set_offline(True)
    page.get_by_label(REPLY).fill("first words")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Your answer is kept").wait_for()
    page.get_by_label(REPLY).fill(WORDS)  # taken back: nothing goes out by itself now
    page.context.set_offline(False)
    expect(page.locator(".banner")).to_be_hidden()
    page.get_by_text("Draft saved").wait_for()
    assert list(read_demonstrations(site.store)) == []
    page.keyboard.press("Control+Enter")
    page.get_by_text("Nothing left to do here").wait_for()
    assert [one.messages[-1].content for one, _ in read_demonstrations(site.store)] == [WORDS]


def test_an_answer_that_came_twice_counts_once(site: Site, visit: Visits) -> None:
    """The server took it, and its word was lost on the way back: sent again, it is the same answer."""
    visit.expected += ["ERR_FAILED"]
    page = visit("ana", "#/work/write%20replies")
    lost = []

    def lose(route: object) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch().status)
            route.abort()

    page.route("**/submit", lose)
    page.get_by_label(REPLY).fill(WORDS)
    page.keyboard.press("Control+Enter")
    page.get_by_text("Nothing left to do here").wait_for()
    assert lost == [200]
    assert len(list(read_demonstrations(site.store))) == 1


def test_a_stale_answer_is_handed_back(site: Site, visit: Visits) -> None:
    visit.expected += ["409"]
    page = visit("ana", "#/work/write%20replies")
    ana = site.people["ana"]
    ((assignment, _, _),) = held(site.store, ana)
    submit(site.store, ana, assignment, DemonstrationPayload(text="from another browser"), seconds=5)
    page.get_by_label(REPLY).fill(WORDS)
    page.keyboard.press("Control+Enter")
    dialog = page.get_by_role("dialog", name="This answer was not taken")
    expect(dialog.get_by_label("Your work, to take along:")).to_have_value(WORDS)
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Save as a file").click()
    assert download.value.path().read_text(encoding="utf-8") == WORDS
    assert download.value.suggested_filename.endswith(".txt")
    dialog.get_by_role("button", name="Take the next task").click()
    page.get_by_text("Nothing left to do here").wait_for()


def test_a_stale_ranking_is_handed_back_in_words(site: Site, visit: Visits) -> None:
    visit.expected += ["409"]
    page = visit("ana", "#/work/france")
    ana = site.people["ana"]
    ((assignment, _, _),) = held(site.store, ana)
    for place in range(4):
        page.locator("article.output").nth(place).get_by_role("radio", name="4").check(force=True)
    page.get_by_role("button", name="By ratings").click()
    ratings = [OutputRating(overall=2)] * 4
    submit(site.store, ana, assignment, RankingPayload(ranks=[1, 2, 3, 4], ratings=ratings), seconds=5)
    page.keyboard.press("Control+Enter")
    kept = page.get_by_label("Your work, to take along:")
    first = task(site.store, ana, assignment).outputs[0]
    assert kept.input_value().startswith(f"A (rank 1, tied with B, C, D; 4/7): {first}")
    assert [one.ranking.ranks for one in read_rankings(site.store)] != [[1, 1, 1, 1]]


def test_a_session_that_is_over_is_opened_again_over_the_page(site: Site, visit: Visits) -> None:
    visit.expected += ["401"]
    page = visit("ana", "#/work/write%20replies")
    set_password_hash(site.store, site.people["ana"], HASHER.hash(PASSWORD))  # which ends all sessions
    page.get_by_label(REPLY).fill(WORDS)
    dialog = page.get_by_role("dialog", name="Please sign in again")
    assert dialog.get_by_label("Name").input_value() == "ana"
    dialog.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    page.get_by_text("Draft saved").wait_for()
    page.keyboard.press("Control+Enter")
    page.get_by_text("Nothing left to do here").wait_for()
    assert [one.messages[-1].content for one, _ in read_demonstrations(site.store)] == [WORDS]


def test_time_on_task_stops_while_the_page_is_hidden_and_goes_on_after_a_reload(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/write%20replies")
    page.get_by_label(REPLY).fill(WORDS)
    expect(page.locator(".time")).not_to_have_text("0:00")
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    before = page.locator(".time").text_content() or ""
    page.wait_for_timeout(2100)
    assert page.locator(".time").text_content() == before
    page.evaluate(hide, False)
    expect(page.locator(".time")).not_to_have_text(before)
    page.reload()
    page.get_by_text("Your draft is back").wait_for()
    assert page.locator(".time").text_content() != "0:00"


def test_signing_out_leaves_no_words_in_the_browser(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/write%20replies")
    page.get_by_label(REPLY).fill(WORDS)
    page.get_by_text("Draft saved").wait_for()
    assert "Twice a day" in page.evaluate("JSON.stringify(localStorage)")
    page.get_by_label("Account of ana").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="Sign in", exact=True).wait_for()
    assert "Twice a day" not in page.evaluate("JSON.stringify(localStorage)")
    ((assignment, _, _),) = held(site.store, site.people["ana"])
    assert task(site.store, site.people["ana"], assignment).draft["content"]["text"] == WORDS
