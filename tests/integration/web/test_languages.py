"""The errors of a form are in the user's language, whether Django or the outbox found them."""

from collections.abc import Mapping

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse

from outbox.models import Account
from tests.integration.web.conftest import typed
from tests.integration.web.test_accounts import described

CHINESE = {"accept-language": "zh-hans"}


@pytest.mark.parametrize(
    ("page", "fields"),
    [
        pytest.param("contact-add", {"address": "anna", "name": ""}, id="a contact"),
        pytest.param("account-add", described(from_address="anna"), id="a sender"),
        pytest.param("account-add", described(reply_to="anna"), id="an address for replies"),
    ],
)
def test_a_bad_address_is_shown_in_chinese(
    page: str, fields: Mapping[str, str], as_anna: Client
) -> None:
    shown = as_anna.post(reverse(f"outbox:{page}"), fields, headers=CHINESE).content.decode()
    assert "“anna”缺少 @" in shown


def test_a_bad_template_is_shown_in_chinese(as_anna: Client) -> None:
    fields = {"name": "news", "subject": "{% load i18n %}", "text": "", "html": ""}
    response = as_anna.post(reverse("outbox:template-add"), fields, headers=CHINESE)
    assert "不支持标签" in response.content.decode()


def test_a_message_that_is_too_large_is_shown_in_chinese(
    as_anna: Client, account: Account, settings: LazySettings
) -> None:
    settings.OUTBOX = settings.OUTBOX | {"MAX_MESSAGE_BYTES": 1_000}
    fields = typed(account, text="x" * 2_000, send="1")
    shown = as_anna.post(reverse("outbox:compose"), fields, headers=CHINESE).content.decode()
    assert "邮件大小将为 2.0 kB。上限为 1.0 kB。" in shown
