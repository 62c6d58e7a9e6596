"""The labels of fields: the form's own, unless the page has a better word."""

import re

import pytest
from django.test import Client
from django.urls import reverse

LABEL = re.compile(r"<label[^>]*>\s*([^<]+?)\s*</label>")


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("password_change", ["Current password", "New password", "New password confirmation"]),
        ("outbox:contact-add", ["Address", "Name"]),
    ],
)
def test_each_field_has_its_label(as_anna: Client, name: str, labels: list[str]) -> None:
    page = as_anna.get(reverse(name)).content.decode()
    assert LABEL.findall(page) == labels
