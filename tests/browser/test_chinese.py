"""The site in Chinese: asked for by the browser or in the preferences, whole, and shown in CJK."""

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from outbox.models import Circuit, Destination, Message, Preferences, State, Template
from outbox.reasons import Reason, ReasonCode
from tests.browser import scenes
from tests.browser.album import CHINESE, Variant, open_album
from tests.browser.writing import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LETTER = "王老师，您好！\n\n十月份的报表已附上，请您看一下第三页的数字。\n\n李安娜"
ENGLISH = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,} [A-Za-z]{2,}")  # three words: a sentence left over


def letters(anna: User) -> Message:
    """Fill Anna's folders with mail of hers; return one that went to several people."""
    work = scenes.account(anna, "工作")
    work.from_name = "李安娜"
    work.signature = "李安娜\n财务部"
    work.save()
    scenes.mail(work, "周四一起吃午饭吗？", [("jane@example.com", State.DEFERRED)], LETTER)
    scenes.mail(work, "合同已签字", [("legal@example.org", State.UNCERTAIN)], LETTER)
    scenes.mail(work, "通知", [("all@example.com", State.HELD)], LETTER)
    scenes.mail(work, "上周工作总结", [("boss@example.com", State.SENT)], LETTER)
    Template.objects.create(
        owner=anna, name="报价", subject="给{{ name }}的报价", text="{{ name }}，您好！"
    )
    return scenes.mail(
        work,
        "十月份报表",
        [("王老师 <wang@example.com>", State.SENT), ("unknown@example.org", State.FAILED)],
        LETTER,
        cc=[("leon@example.net", State.DEFERRED)],
    )


@pytest.mark.system
@pytest.mark.timeout(400)  # also on a busy machine
def test_each_page_is_in_chinese_for_a_browser_that_asks_for_it(
    browser: "Browser", live_server: Any, anna: User
) -> None:
    variants: list[Variant] = [("wide", "light"), ("narrow", "dark")]
    with open_album(browser, live_server.url, variants=variants, locale=CHINESE) as album:
        album.visit("chinese-login", reverse("login"))
        album.sign_in()
        album.visit("chinese-start", reverse("outbox:list"))
        mail = letters(anna)
        assert mail.account is not None
        pages = {
            "outbox": reverse("outbox:list"),
            "message": reverse("outbox:message", args=[mail.pk]),
            "compose": reverse("outbox:compose"),
            "account": reverse("outbox:account", args=[mail.account.pk]),
            "account-add": f"{reverse('outbox:account-add')}?address=",
            "templates": reverse("outbox:templates"),
            "preferences": reverse("outbox:preferences"),
            "contacts": reverse("outbox:contacts"),
        }
        left = {}
        for name, address in pages.items():
            album.visit(f"chinese-{name}", address)
            album.page.locator("html[lang=zh-hans]").wait_for()
            left[name] = sorted(set(ENGLISH.findall(own_words(album.page))))
        assert {name: words for name, words in left.items() if words} == {}


# What is in English on purpose: what servers said, and names that are the same everywhere.
FOREIGN = (
    "#now, .reply, .transcript, .legend, code, bdi, input, textarea, select, .address, .facts dd"
)


def own_words(page: "Page") -> str:
    """Return the site's own words on the page."""
    text: str = page.evaluate(
        """foreign => {
            const body = document.body.cloneNode(true);
            body.querySelectorAll(foreign + ", script, template").forEach((one) => one.remove());
            return body.textContent;
        }""",
        FOREIGN,
    )
    return text


def test_an_open_page_shows_relative_times_in_the_same_words(
    browser: "Browser", live_server: Any, anna: User
) -> None:
    address = reverse("outbox:message", args=[letters(anna).pk])
    with open_album(browser, live_server.url, locale=CHINESE) as album:
        album.sign_in()
        source = album.page.request.get(address, headers={"Accept-Language": "zh-CN"}).text()
        album.page.goto(address)
        at_first = re.findall(r'data-relative(?:="planned")?>([^<]+)<', source)
        album.page.wait_for_timeout(1_200)  # the script counts on once a second
        now = album.page.locator("time[data-relative]").all_inner_texts()
    assert [words(time) for time in at_first] == [words(time) for time in now]
    assert any("分钟前" in time for time in now)


def words(time: str) -> str:
    return re.sub(r"\d+", "N", time)


def test_the_preferences_count_more_than_the_browser(
    page: "Page", anna: User, live_server: Any
) -> None:
    page.goto(reverse("login"))
    page.locator("[name=username]").fill("anna")
    page.locator("[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.goto(reverse("outbox:preferences"))
    page.get_by_label("Language").select_option("zh-hans")
    page.get_by_role("button", name="Save preferences").click()
    page.get_by_text("偏好设置已保存。").wait_for()
    assert Preferences.objects.get().language == "zh-hans"
    page.goto("/nowhere/")
    page.get_by_role("heading", name="找不到页面").wait_for()


def test_what_a_worker_wrote_is_put_in_chinese_beside_the_server_s_own_words(
    page: "Page", anna: User, live_server: Any
) -> None:
    Preferences.objects.create(user=anna, language="zh-hans")
    Destination.objects.create(
        account=scenes.account(anna),
        circuit=Circuit.OPEN,
        circuit_until=timezone.now() + dt.timedelta(minutes=5),
        circuit_reason=Reason(ReasonCode.LOGIN_REJECTED, reply="535 5.7.8 Bad credentials"),
        circuit_needs_person=True,
    )
    page.goto(reverse("login"))
    page.locator("[name=username]").fill("anna")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    notice = page.locator(".account-notice")
    notice.wait_for()
    assert "服务器拒绝了登录" in notice.inner_text()
    assert "535 5.7.8 Bad credentials" in notice.inner_text()
