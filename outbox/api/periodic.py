"""Periodic work, done every few seconds by any process."""

from outbox.api import bulk_actions, domain_checks, tls_reports
from outbox.api.alarms.schedule import check_in_background
from outbox.api.delivery_reports import send_reports
from outbox.api.failures import report_failures
from outbox.api.mailbox_notices import notify_owners_of_mailboxes
from outbox.api.oauth import retry_corrected
from outbox.api.oauth_notices import notify_owners
from outbox.delivery import periodic, process
from outbox.inbound.runner import fetch_in_background, file_in_background


def run_periodic_work(using: str) -> None:
    """Do what is due: the sweep, the engine, fetching, emails to users, bulk operations, alarms."""
    periodic.run(using)
    report_failures(using)
    send_reports(using)
    retry_corrected(using)
    notify_owners(using)
    notify_owners_of_mailboxes(using)
    if not process.is_apart():
        fetch_in_background(using)
        file_in_background(using)
        domain_checks.check_in_background(using)
        tls_reports.report_in_background(using)
    bulk_actions.run_beside(using)
    check_in_background(using)
