"""Those who look on: disagreement side by side, returning with a reason, agreement, people, queues, data."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from playwright.sync_api import expect

from preceptor.feedback.app.routes.files import Exported
from preceptor.feedback.app.uploads import UPLOADS
from preceptor.feedback.store.judged import read_rankings
from preceptor.feedback.store.people import find_person
from preceptor.feedback.tasks import queue
from preceptor.feedback.tasks.quality import agreement_of
from preceptor.feedback.tasks.screening import screening

from .labeling_site import OUTPUTS, PASSWORD, Site, judge_france
from .visits import Visits


@pytest.fixture
def judged(site: Site) -> Site:
    """Two items that ana and bo ranked, not quite alike."""
    full, short, wrong, unknown = OUTPUTS
    judge_france(site, {"ana": [[full], [short], [unknown], [wrong]], "bo": [[full], [short], [wrong], [unknown]]})
    return site


def test_a_reviewer_returns_a_judgement_and_its_labeler_reads_why(judged: Site, visit: Visits) -> None:
    page = visit("rae", "#/review")
    page.get_by_text("83.3%").first.wait_for()  # of six pairs five are alike
    page.get_by_role("link", name="What is the capital of France?").click()
    grid = page.get_by_role("region", name="Judgements side by side")
    grid.wait_for()
    heads = grid.locator("thead th strong").all_text_contents()
    marks = grid.locator("tbody tr").filter(has_text="Lyon").locator(".rank-mark").all_text_contents()[1:]
    assert dict(zip(heads, marks, strict=True)) == {"ana": "4", "bo": "3"}
    page.get_by_role("button", name=re.compile("Accept judgement .* of bo")).click()
    page.get_by_text("accepted by me").wait_for()
    page.get_by_role("button", name=re.compile("Return judgement .* of ana")).click()
    dialog = page.get_by_role("dialog", name="Return a judgement of ana")
    dialog.get_by_role("button", name="Return").click()
    assert dialog.is_visible()  # not without a reason
    dialog.get_by_label("Reason").fill("Lyon is not the capital.")
    dialog.get_by_role("button", name="Return").click()
    page.get_by_text("Returned.", exact=True).first.wait_for()
    assert len(list(read_rankings(judged.store))) == 3
    hers = visit("ana")
    hers.get_by_role("heading", name="Came back from the review").wait_for()
    hers.get_by_text("Lyon is not the capital.").first.wait_for()
    hers.get_by_role("link", name="What is the capital of France?").first.click()
    hers.get_by_text("A reviewer took this out of the count.").wait_for()


def test_an_admin_sees_agreement(judged: Site, visit: Visits) -> None:
    page = visit("ada", "#/admin/agreement")
    overall = agreement_of(judged.store).overall
    assert overall.share == pytest.approx(5 / 6)
    figure = page.locator('[data-figure="overall"]')
    expect(figure).to_contain_text("83.3%")
    expect(figure).to_contain_text(f"{overall.pairs} pairs of judgements, 2 prompts")
    table = page.get_by_role("region", name="By labeler")
    expect(table.get_by_role("row").filter(has_text="ana")).to_contain_text("83.3%")
    page.get_by_role("link", name="Progress").click()
    expect(page.get_by_role("region", name="Queues").get_by_role("row").filter(has_text="france")).to_contain_text(
        "4 / 4"
    )
    expect(page.get_by_role("region", name="Throughput").get_by_role("row").filter(has_text="ana")).to_contain_text(
        "1:03"
    )
    page.get_by_role("link", name="Quality").click()
    expect(page.get_by_role("region", name="Habits").get_by_role("row").filter(has_text="bo")).to_contain_text(
        "chance: 25.0%"
    )


def test_screening_is_entered_and_shown(site: Site, visit: Visits) -> None:
    page = visit("ada", "#/admin/quality")
    page.get_by_text("Enter a result").click()
    page.get_by_label("Labeler", exact=True).select_option(label="bo")
    page.get_by_label("Value").fill("6.5")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("region", name="Screening").get_by_role("row").filter(has_text="bo")).to_contain_text("6.5")
    assert screening(site.store, site.people["bo"])["demonstrations"].value == 6.5


def test_an_invitation_is_made_and_leads_in(site: Site, visit: Visits) -> None:
    page = visit("ada", "#/admin/people")
    page.get_by_label("For whom").fill("eve")
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Invitation link")
    link.wait_for()
    expect(page.get_by_role("region", name="Invitations").get_by_role("row").filter(has_text="eve")).to_contain_text(
        "waiting"
    )
    address = link.input_value()
    hers = visit(None, address.removeprefix(site.url + "/"))
    hers.get_by_label("Name").fill("eve")
    hers.get_by_label("Password", exact=True).fill(PASSWORD)
    hers.get_by_label("Password, once more").fill(PASSWORD)
    hers.get_by_role("button", name="Create the account").click()
    hers.get_by_role("heading", name="Terms of taking part").wait_for()
    page.get_by_role("link", name="Progress").click()
    page.get_by_role("link", name="People").click()
    row = page.get_by_role("region", name="Everybody").get_by_role("row").filter(has_text="eve")
    row.get_by_role("button", name="Suspend").click()
    expect(row).to_contain_text("suspended")
    eve = find_person(site.store, "eve")
    assert eve is not None and eve.status == "suspended"


def test_a_queue_is_made_and_filled_from_a_file(site: Site, visit: Visits, tmp_path: Path) -> None:
    visit.expected += ["422"]
    page = visit("ada", "#/admin/queues")
    page.get_by_label("Name", exact=True).fill("new one")
    page.get_by_label("Labelers per item").fill("3")
    page.get_by_role("button", name="Create the queue").click()
    row = page.get_by_role("row").filter(has_text="new one")
    row.get_by_role("button", name="Close").click()
    expect(row).to_contain_text("closed")
    assert not queue(site.store, "new one").open and queue(site.store, "new one").overlap == 3
    page.get_by_role("link", name="Data").click()
    lines = [
        {
            "prompt_id": "s1",
            "messages": [{"role": "user", "content": "Hi"}],
            "responses": [{"text": "a"}, {"text": "b"}],
        },
        {"prompt_id": "s2", "messages": [{"role": "user", "content": "Hi"}], "responses": [{"text": "a"}]},
    ]
    file = tmp_path / "samples.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("Queue", exact=True).first.select_option("new one")
    page.get_by_role("button", name="Import").click()
    expect(page.locator(".error").first).to_contain_text("samples.jsonl:2")
    file.write_text(json.dumps(lines[0]))
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Import").click()
    page.get_by_text("1 added, 0 there already").wait_for()
    assert queue(site.store, "new one").items == 1


def test_an_export_is_a_download(judged: Site, visit: Visits) -> None:
    page = visit("ada", "#/admin/data")
    with page.expect_download() as download:
        page.get_by_role("link", name="Rankings").click()
    lines = [json.loads(line) for line in download.value.path().read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 4 and sorted(lines[0]["ranks"]) == [1, 2, 3, 4]
    assert "ana" not in {line["labeler"] for line in lines}


def test_all_that_can_be_imported_and_exported_is_offered(site: Site, visit: Visits) -> None:
    page = visit("ada", "#/admin/data")
    options = page.get_by_label("What it holds").locator("option")
    expect(options).to_have_count(len(UPLOADS))  # all() does not wait for the page
    offered = options.all()
    assert {one.get_attribute("value") for one in offered} == set(UPLOADS)
    expect(page.locator("a[download]")).to_have_count(len(get_args(Exported)))
    links = page.locator("a[download]").all()
    assert {link.get_attribute("download") for link in links} == {f"{what}.jsonl" for what in get_args(Exported)}


def test_guidelines_get_a_new_version(site: Site, visit: Visits) -> None:
    page = visit("ada", "#/admin/texts")
    page.get_by_text("Guidelines: Comparison").click()
    box = page.locator("details[open]").get_by_label("English")
    box.fill("Be **fair**.")
    page.locator("details[open]").get_by_role("button", name="Publish a new version").click()
    page.get_by_text("Published as version 2.").first.wait_for()
    hers = visit("ana", "#/work/duel")
    expect(hers.locator(".guidelines strong")).to_have_text("fair")
    expect(hers.locator(".guidelines")).to_contain_text("version 2")
    page.get_by_role("link", name="Audit").click()
    page.get_by_role("region", name="Audit").wait_for()


def test_a_labeler_gets_neither_page(visit: Visits) -> None:
    page = visit("ana", "#/admin/people")
    page.get_by_role("heading", name="Hello, ana").wait_for()
    assert page.get_by_role("link", name="Review").count() == 0
