"""Every page: fits 390 pixels, has labels and one heading, enough contrast in both themes, and no stray ids."""

from typing import Any

from playwright.sync_api import Page, expect

from preceptor.feedback.app.first import LANGUAGES
from preceptor.feedback.store.invitations import invite
from preceptor.feedback.store.people import person

from .labeling_site import OUTPUTS, Site, judge_france
from .visits import CHECKS, NARROW, WIDE, Visits

PAGES = {
    "ana": [
        "#/",
        "#/work/france",
        "#/work/duel",
        "#/work/write%20replies",
        "#/work/write%20prompts",
        "#/history",
        "#/account",
    ],
    "rae": ["#/review", "#/review/latest", "#/review/item/1"],
    "ada": [
        f"#/admin/{tab}" for tab in ("progress", "agreement", "quality", "people", "queues", "texts", "data", "audit")
    ],
}


def settled(page: Page) -> None:
    """Wait until a page has all it asked for."""
    page.wait_for_load_state("networkidle")
    expect(page.get_by_text("Loading…")).to_have_count(0)
    expect(page.locator("h1")).to_have_count(1)


def looked_at(page: Page) -> list[str]:
    """What is wrong with a page as it is now, in both themes."""
    found: list[str] = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        found += [f"{theme}: {what}" for what in page.evaluate(CHECKS)]
    return found


def fits(page: Page) -> bool:
    """Nothing has to be scrolled sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def test_every_page_at_both_widths_in_both_themes(site: Site, visit: Visits) -> None:
    full, short, wrong, unknown = OUTPUTS
    site.person("cy")
    judge_france(site, {"bo": [[full], [short], [wrong], [unknown]], "cy": [[full, short], [unknown], [wrong]]})
    bad: dict[str, Any] = {}
    for name, paths in PAGES.items():
        page = visit(name)
        for path in paths:
            page.goto(f"{site.url}/{path}")
            for size in (NARROW, WIDE):
                page.set_viewport_size(size)
                settled(page)
                wrong_here = looked_at(page) + ([] if fits(page) else ["has to be scrolled sideways"])
                if wrong_here:
                    bad[f"{path} at {size['width']}"] = wrong_here
    assert not bad, "\n".join(f"{where}: {what}" for where, found in bad.items() for what in found)


def test_pages_before_the_tasks(site: Site, visit: Visits) -> None:
    site.person("new", agreed=False)
    for name, path in ((None, "#/"), (None, f"join#{invite(site.store)}"), ("new", "#/")):
        page = visit(name, path, size=NARROW)
        settled(page)
        assert looked_at(page) == [] and fits(page), path


def test_dialogs(visit: Visits) -> None:
    page = visit("ana", "#/work/france", size=NARROW)
    for key in ("?", "x"):
        page.keyboard.press(key)
        page.get_by_role("dialog").wait_for()
        assert looked_at(page) == [] and fits(page), key
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_language_is_switched_and_remembered(site: Site, visit: Visits) -> None:
    page = visit("ana", "#/work/france")
    page.get_by_role("radio", name="5").first.check(force=True)
    offered = page.get_by_label("Language").locator("option").all()
    assert [one.get_attribute("value") for one in offered] == list(LANGUAGES)
    page.get_by_label("Language").select_option("zh-Hans")
    page.get_by_role("button", name="提交").wait_for()
    assert page.get_by_role("radio", name="5").first.is_checked()  # what was done stays
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    page.reload()
    page.get_by_role("button", name="提交").wait_for()
    expect(page.locator(".guidelines")).to_contain_text("评分与排序")
    assert looked_at(page) == []
    assert person(site.store, site.people["ana"]).language == "zh-Hans"
    other = visit("ana")  # another browser of hers
    other.get_by_role("heading", name="您好，ana").wait_for()


def test_refusals_of_the_server_are_said_in_the_language_of_the_page(visit: Visits) -> None:
    page = visit("ana")
    page.get_by_label("Language").select_option("zh-Hans")
    page.get_by_role("heading", name="您好，ana").wait_for()
    visit.expected.append("404")
    page.goto(page.url.split("#")[0] + "#/work/nowhere")
    expect(page.locator("main")).to_contain_text("找不到所请求的内容。服务器的说明：there is no queue 'nowhere'")


def test_the_theme_is_switched_and_remembered(visit: Visits) -> None:
    page = visit("ana", color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.get_by_label("Theme: as the system").click()
    page.get_by_label("Theme: light").click()
    dark = page.evaluate(ground)
    assert dark != before
    page.reload()
    page.get_by_label("Theme: dark").wait_for()
    assert page.evaluate(ground) == dark


def test_focus_can_be_seen(visit: Visits) -> None:
    page = visit("ana", "#/work/france")
    for _ in range(40):
        page.keyboard.press("Tab")
        shown = page.evaluate(
            """() => {
              const on = document.activeElement;
              if (on === document.body) return true;
              const marked = on.matches(".segments input") ? on.nextElementSibling : on;
              const style = getComputedStyle(marked);
              return style.outlineStyle !== "none" || style.boxShadow !== "none";
            }"""
        )
        assert shown, page.evaluate("document.activeElement.outerHTML")


def test_nothing_moves_while_a_card_is_rated_and_ranked(visit: Visits) -> None:
    page = visit("ana", "#/work/france", size=WIDE)
    settled(page)
    places = """[...document.querySelectorAll("article.output, .taskbar, .side")].map(
      (element) => Math.round(element.getBoundingClientRect().top))"""
    before = page.evaluate(places)
    for key in ("j", "7", "h", "Shift+Digit1", "k", "2", "Shift+Digit2"):
        page.keyboard.press(key)
    page.get_by_text("Draft saved").wait_for()
    page.evaluate("scrollTo(0, 0)")
    assert page.evaluate(places) == before
