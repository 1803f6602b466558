"""The API's page works in a browser without asking another host for anything."""

from urllib.parse import urlsplit

from tests.browser.chromium import Browser


def test_the_page_shows_every_route_and_stays_at_home(browser: Browser, home: str) -> None:
    browser.open(f"{home}/api/content/docs")
    assert browser.eventually(lambda: browser.run("return document.querySelectorAll('.opblock').length") > 15)
    assert browser.run("return document.title") == "Library Server API"
    assert browser.run("return document.querySelector('.errors-wrapper')") is None
    assert {urlsplit(url).netloc for url in browser.requests()} == {urlsplit(home).netloc}
    assert browser.complaints() == []


def test_a_route_shows_an_example_of_its_answer_and_each_message_of_its_errors(browser: Browser, home: str) -> None:
    browser.open(f"{home}/api/content/docs")
    unfold = "document.querySelector('[id$=-get_item] button')"
    assert browser.eventually(lambda: browser.run(f"return {unfold} !== null"))
    browser.run(f"{unfold}.click()")
    shown = "return document.querySelector('[id$=-get_item]').innerText"
    for text in ('"title": "The Itsy Bitsy Spider"', "Token has expired", "Content not found", "WWW-Authenticate"):
        assert browser.eventually(lambda text=text: text in browser.run(shown)), browser.run(shown)
    assert browser.complaints() == []


def test_a_route_unfolds_and_can_be_tried(browser: Browser, home: str) -> None:
    browser.open(f"{home}/api/content/docs")
    assert browser.eventually(lambda: browser.run("return document.querySelector('[id$=live] button') !== null"))
    browser.run("document.querySelector('[id$=live] button').click()")
    for button in (".try-out__btn", ".execute"):
        assert browser.eventually(
            lambda button=button: browser.run("return document.querySelector(arguments[0])", button)
        )
        browser.run("document.querySelector(arguments[0]).click()", button)
    said = "return document.querySelector('.live-responses-table')?.innerText ?? ''"
    assert browser.eventually(lambda: "healthy" in browser.run(said))
    assert browser.complaints() == []
