"""In the project's shell: use the API and the pages as one of its users. Print what they give."""

import json
import os

from django.contrib.auth import get_user_model
from django.test import Client
from django.test.utils import setup_test_environment
from django.urls import reverse

from outbox import api
from outbox.models import Account, Contact, Recipient

setup_test_environment()  # which adds contexts to responses
Person = get_user_model()
fields = {"email": "ann@example.com"}
if Person.USERNAME_FIELD == "username":
    fields["username"] = "ann"
ann = Person.objects.create_user(**fields, is_staff=True)
port = int(os.environ["SHOP_SMTP_PORT"])
server = {"host": "127.0.0.1", "port": port, "security": "none"}
Account.objects.create(name="shop", from_address="shop@example.com", is_app_default=True, **server)
own = Account.objects.create(name="own", owner=ann, from_address="ann@example.com", **server)
api.send(to="bob@example.com", subject="An API message", text="Hello", owner=ann)
api.send_many(
    [api.MergeRow(f"{n}@example.com") for n in range(3)], subject="Many", text="Hello", owner=ann
)
client = Client(raise_request_exception=True)
client.force_login(ann)
given = {"account": own.pk, "to": "carl@example.com", "subject": "Composed", "text": "Hello"}
composed = client.post(reverse("outbox:compose"), given | {"importance": "normal", "send": "1"})
account = reverse("outbox:account", args=[own.pk])
form = {
    name: field.value() if field.value() is not None else ""
    for name, field in ((f.name, f) for f in client.get(account).context["form"])
}
saved = client.post(account, {name: value for name, value in form.items() if value is not False})
pages = [
    client.get(f"/mail/{name}") for name in ("", "folders/sent/", "contacts/", "search/?q=Hello")
]
print(
    json.dumps(
        {
            "composed": composed.status_code,
            "account saved": saved.status_code,
            "pages": [page.status_code for page in pages],
            "found": pages[-1].content.decode().count("Composed"),
            "contacts": Contact.objects.filter(owner=ann).count(),
            "recipients": Recipient.objects.count(),
        }
    )
)
