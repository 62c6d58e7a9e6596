"""A known policy reply of a provider is explained wherever the reply is displayed."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from outbox.models import Folder, Message, State
from tests.integration.admin.test_operations import PAGE, count, group
from tests.integration.web.conftest import signed_in
from tests.states import set_state

REPLY = (
    550,
    "5.7.26",
    (
        "5.7.26 Unauthenticated email from example.org is not accepted due to domain's\n"
        "5.7.26 DMARC policy. Please contact the administrator of example.org domain."
    ),
)
REMEDY = {
    "en": "The DMARC policy of the sender’s domain rejects this message",
    "zh-hans": "发件人域名的 DMARC 策略拒绝此邮件",
}


@pytest.fixture
def rejected(mail: Message) -> Message:
    code, enhanced, text = REPLY
    reply = {"reply_code": code, "reply_enhanced": enhanced, "reply_text": text}
    set_state(mail.recipients.all(), State.FAILED, **reply)
    Message.objects.filter(pk=mail.pk).update(folder=Folder.FAILED, has_failure=True)
    return mail


@pytest.mark.parametrize("language", REMEDY)
def test_it_is_explained(language: str, rejected: Message, as_anna: Client) -> None:
    count("failed", 3, group=group(REPLY))
    staff = signed_in(User.objects.create_superuser("root"))
    for client, address in (
        (as_anna, f"/messages/{rejected.pk}/"),
        (as_anna, "/folders/failed/by-reply/"),
        (staff, f"/admin/outbox/message/{rejected.pk}/change/"),
        (staff, PAGE),
    ):
        page = client.get(address, headers={"Accept-Language": language}).content.decode()
        assert REMEDY[language] in page, address
