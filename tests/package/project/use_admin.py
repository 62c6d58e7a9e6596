"""In the project's shell: open the admin's pages about messages. Print what they show."""

import json
import re

from django.contrib.admin import site
from django.contrib.auth.models import User
from django.test import Client

from outbox import api
from outbox.models import Account, Message
from outbox.models.search import index_new

Account.objects.create(name="shop", from_address="shop@example.com", host="h", is_app_default=True)
for number in range(3):
    api.send(to=f"r{number}@example.com", subject=f"Invoice {number}", text="Hello")
index_new("default", 10)
client = Client()
client.force_login(User.objects.create_superuser("staff"))
message = Message.objects.latest("pk")
site._registry[Message].list_per_page = 2
base = "/admin/outbox/message/"
pages = {
    "list": (base, ["Invoice 2", 'class="outbox-pages"', "?before=", "outbox/admin.css", "chip"]),
    "filtered": (f"{base}?domain=example.com&state=queued", ["Invoice 2", 'name="code"']),
    "found": (f"{base}?q=r1@example.com", ["Invoice 1"]),
    "message": (
        f"{base}{message.pk}/change/?content=text",
        ["r2@example.com", "Hello", "Timeline", "outbox/admin.css"],
    ),
    **{
        f"{model._meta.model_name} list": (f"/admin/outbox/{model._meta.model_name}/", [])
        for model in site._registry
        if model._meta.app_label == "outbox"
    },
    "account": ("/admin/outbox/account/add/", ["from_address"]),
    "pause": ("/admin/outbox/operations/pause/?tag=news", ["news", "outbox-question"]),
    "import": ("/admin/outbox/suppression/import/", ["outbox-question"]),
}
# django-unfold shows the path of the page in place of its title.
titles = {
    "pause": "Pause delivery of messages with a tag?",
    "import": "Import a suppression list",
}
status, missing, headings = {}, {}, {}
for name, (address, texts) in pages.items():
    response = client.get(address)
    status[name] = response.status_code
    shown = response.content.decode()
    if lacks := [text for text in texts if text not in shown]:
        missing[name] = lacks
    if name in titles:
        heading = rf"<h([12])[^>]*>\s*{re.escape(titles[name])}\s*</h\1>"
        headings[name] = len(re.findall(heading, shown))
exported = client.get(f"{base}export/csv/")
lines = b"".join(exported.streaming_content).decode().splitlines()
print(
    json.dumps(
        {
            "is unfold": "unfold/css/styles" in client.get(base).content.decode(),
            "status": status,
            "missing": missing,
            "headings": headings,
            "exported": len(lines) - 1,
        }
    )
)
