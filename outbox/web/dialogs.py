"""Questions: in a dialog of the page where scripts run, else on a page of their own."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

from outbox.web.auth import UserRequest


def render_dialog(
    request: UserRequest, name: str, context: Mapping[str, Any], *, is_valid: bool = True
) -> HttpResponse:
    """Render `outbox/_<name>.html` for htmx, else `outbox/<name>.html`, which includes it."""
    template = f"outbox/_{name}.html" if request.htmx else f"outbox/{name}.html"
    status = HTTPStatus.OK if is_valid else HTTPStatus.UNPROCESSABLE_ENTITY
    response = render(request, template, context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response
