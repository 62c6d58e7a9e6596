"""Files in the composer."""

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import User

from outbox.models import Attachment
from tests.browser.writing import write_new

if TYPE_CHECKING:
    from playwright.sync_api import FilePayload, Page, Route


def text_file(name: str) -> "FilePayload":
    return {"name": name, "mimeType": "text/plain", "buffer": b"x"}


@pytest.mark.usefixtures("writer")
def test_files_keep_the_order_in_which_they_were_chosen(page: "Page") -> None:
    """Uploaded side by side, the first would come last here."""
    chosen = ["zebra.txt", "mouse.txt", "apple.txt"]
    held: list[Route] = []
    write_new(page)
    page.route("**/attachments/", lambda route: route.continue_() if held else held.append(route))
    page.get_by_label("Attach files").set_input_files([text_file(name) for name in chosen])
    page.wait_for_timeout(1_000)  # in which nothing else may be uploaded
    assert Attachment.objects.count() == 0
    held[0].continue_()
    for name in chosen:
        page.get_by_role("link", name=name).wait_for()
    assert page.locator("#files bdi").all_inner_texts() == chosen
    assert list(Attachment.objects.values_list("name", flat=True)) == chosen


def test_file_that_is_removed_while_it_waits_is_not_uploaded(page: "Page", writer: User) -> None:
    write_new(page)
    held: list[Route] = []  # the first upload never ends
    page.route("**/attachments/", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/attachments/"):
        page.get_by_label("Attach files").set_input_files(
            [text_file(name) for name in ("first.txt", "second.txt", "third.txt")]
        )
    page.get_by_role("button", name="Remove second.txt").click()
    page.get_by_role("button", name="Remove first.txt").click()
    page.get_by_role("link", name="third.txt").wait_for()
    assert list(Attachment.objects.values_list("name", flat=True)) == ["third.txt"]
