"""Sentry and OpenTelemetry, if the environment names a receiver. Both packages are optional.

Neither gets a body, a secret or an address that works without signing in: no form, no cookie, no
local variable, no query string, and of an address only the pattern of its page.
"""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from outbox import __version__
from outbox.log_lines import FIELDS, without_rows

_HEADERS = {"content-type", "content-length", "user-agent"}
_EVENT = {"exception.type", "exception.escaped"}
_ADDRESSES = ("http.url", "http.target", "url.full", "url.path", "url.query")


def start_sentry(dsn: str, *, environment: str = "production", transport: Any = None) -> None:
    """Report errors to Sentry. Raise ImproperlyConfigured if its package is missing."""
    try:
        import sentry_sdk
    except ImportError as error:
        raise _missing("SENTRY_DSN", "sentry-sdk") from error
    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        release=f"outbox@{__version__}",
        transport=transport,
        send_default_pii=False,
        include_local_variables=False,  # a frame of delivery has the message in them
        include_source_context=False,
        max_request_body_size="never",
        before_send=scrub,
        before_breadcrumb=scrub_breadcrumb,
    )


def scrub(event: Any, _hint: Any = None) -> Any:
    """Return the event without what the module promises to keep back."""
    request = event.get("request", {})
    headers = request.get("headers", {})
    kept = {name: text for name, text in headers.items() if name.lower() in _HEADERS}
    event["request"] = {"method": request.get("method", ""), "headers": kept}
    extra = event.get("extra", {})
    event["extra"] = {name: value for name, value in extra.items() if name in FIELDS}
    event.pop("user", None)
    for error in event.get("exception", {}).get("values", []):
        error["value"] = without_rows(str(error.get("value", "")))
        for frame in error.get("stacktrace", {}).get("frames", []):
            frame.pop("vars", None)
    if entry := event.get("logentry"):  # the template; its arguments may be anything
        event["logentry"] = {"message": str(entry.get("message", ""))}
    event.pop("message", None)
    return event


def scrub_breadcrumb(crumb: Any, _hint: Any = None) -> Any:
    """Return the breadcrumb without its data, or None for one of a query."""
    if crumb.get("category") in {"query", "httplib", "subprocess"}:
        return None
    return {name: value for name, value in crumb.items() if name not in {"data", "message"}}


def start_opentelemetry_if_set(**_: Any) -> None:
    """Start OpenTelemetry if the environment names its receiver; also as a receiver of signals."""
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        start_opentelemetry()


def start_opentelemetry(exporter: Any = None) -> None:
    """Trace requests and Celery tasks. Raise ImproperlyConfigured if a package is missing.

    It changes Django's settings, so wsgi.py and celery.py call it, in the processes that serve. The
    standard variables apply: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS,
    OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.instrumentation.celery import CeleryInstrumentor
        from opentelemetry.instrumentation.django import DjangoInstrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = exporter or _otlp_exporter()
    except ImportError as error:
        packages = "opentelemetry-sdk, opentelemetry-exporter-otlp-proto-http, "
        packages += "opentelemetry-instrumentation-django and opentelemetry-instrumentation-celery"
        raise _missing("OTEL_EXPORTER_OTLP_ENDPOINT", packages) from error
    os.environ.setdefault("OTEL_SERVICE_NAME", "outbox")
    provider = TracerProvider(resource=Resource.create({"service.version": __version__}))
    exporter.export = partial(_export_scrubbed, exporter.export)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument(
        tracer_provider=provider,
        middleware_position=1,  # after mailsite.health: probes use any Host header
        response_hook=hide_address,
    )
    celery: Any = CeleryInstrumentor
    celery().instrument(tracer_provider=provider)


def _export_scrubbed(export: Any, spans: Sequence[Any]) -> Any:
    """Export the spans without the texts of exceptions, which may quote a message."""
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Status

    def scrubbed(span: Any) -> ReadableSpan:
        events = [
            Event(
                one.name, {name: value for name, value in one.attributes.items() if name in _EVENT}
            )
            for one in span.events
        ]
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=span.attributes,
            events=events,
            links=span.links,
            kind=span.kind,
            status=Status(span.status.status_code),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    return export([scrubbed(span) for span in spans])


def _otlp_exporter() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def hide_address(span: Any, request: Any, _response: Any) -> None:
    """Replace the address of a request by the pattern of its page."""
    match = getattr(request, "resolver_match", None)
    pattern = match.route if match else "unknown"
    for name in _ADDRESSES:
        if name in (span.attributes or {}):
            span.set_attribute(name, f"/{pattern}")


def _missing(variable: str, packages: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{variable} is set, but needs packages: install {packages}.")
