"""The shop's own tests: the messages, and their delivery. pytest finds the fixtures itself."""

from django.contrib.auth.models import User
from django.test import TestCase

from outbox.testing.inbox import Inbox


class SignUpTests(TestCase):
    """With nothing but Django's test runner."""

    def setUp(self):
        self.inbox = self.enterContext(Inbox())

    def test_it_welcomes(self):
        self.client.post("/sign-up/", {"name": "bob", "address": "bob@example.com"})

        assert len(self.inbox) == 1
        assert self.inbox[0].subject == "Welcome"
        assert self.inbox[0].body == "Hello bob!"
        assert self.inbox[0].to == ["bob@example.com"]

    def test_it_welcomes_each_customer_once(self):
        User.objects.create_user("bob")
        self.client.raise_request_exception = False
        self.client.post("/sign-up/", {"name": "bob", "address": "bob@example.com"})

        assert "Welcome" not in [mail.subject for mail in self.inbox]


def test_a_welcome_leaves(client, transactional_db, inbox, mail_server):
    client.post("/sign-up/", {"name": "bob", "address": "bob@example.com"})
    inbox.drain(mail_server)

    (received,) = mail_server.mailboxes.messages("bob@example.com")
    assert received.parsed()["Subject"] == "Welcome"
    assert inbox[0].states == {"bob@example.com": "sent"}


def test_a_welcome_to_a_busy_server_waits(client, transactional_db, inbox, fault_lab):
    client.post("/sign-up/", {"name": "bob", "address": "bob@example.com"})
    inbox.drain(fault_lab("too-busy"))

    assert inbox[0].states == {"bob@example.com": "deferred"}
