"""The groups of staff that a migration creates, and what each of them may do.

The table is the only list of these permissions. `docs/permissions.md` is written from it, and a
migration has it as it was when the groups were created: later changes of a site are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

VIEWERS = "Outbox viewers"
OPERATORS = "Outbox operators"
ADMINISTRATORS = "Outbox administrators"
GROUPS = (VIEWERS, OPERATORS, ADMINISTRATORS)


@dataclass(frozen=True, slots=True)
class Right:
    """What the permissions allow, and the groups that have them."""

    meaning: str
    permissions: tuple[str, ...]  # code names
    groups: tuple[str, ...]


_ALL, _OPERATORS, _ADMIN = GROUPS, GROUPS[1:], GROUPS[2:]
RIGHTS = (
    Right(
        "See messages, recipients, attempts, states and server replies; export them",
        ("view_message", "view_recipient", "view_attempt"),
        _ALL,
    ),
    Right("See servers and why they wait", ("view_destination",), _ALL),
    Right("See and export suppressed addresses", ("view_suppression",), _ALL),
    Right("See the progress of bulk operations", ("view_bulkoperation",), _ALL),
    Right("See open and cleared alarms, and workers", ("view_alarm", "view_worker"), _ALL),
    Right(
        "Cancel, retry, hold, release and resolve messages; pause and resume delivery",
        ("change_message",),
        _OPERATORS,
    ),
    Right("Retry the connection to a blocked server", ("change_destination",), _OPERATORS),
    Right(
        "Add, import and remove suppressed addresses",
        ("add_suppression", "delete_suppression"),
        _OPERATORS,
    ),
    Right(
        "See accounts, without passwords, and check their sender domains",
        ("view_account",),
        _OPERATORS,
    ),
    Right("Read the content of messages, which is recorded", ("read_source",), _ADMIN),
    Right(
        "Add, change and delete accounts, and share them",
        ("add_account", "change_account", "delete_account", "share_account"),
        _ADMIN,
    ),
    Right("Trust accounts with servers in the private network", ("trust_account",), _ADMIN),
    Right("See the accounts of all groups, and the whole site", ("view_all_accounts",), _ADMIN),
    Right("See the audit log", ("view_auditentry",), _ADMIN),
    Right(
        "Add, change and delete templates",
        ("view_template", "add_template", "change_template", "delete_template"),
        _ADMIN,
    ),
    Right(
        "Add, change and delete webhooks",
        ("view_webhook", "add_webhook", "change_webhook", "delete_webhook"),
        _ADMIN,
    ),
    Right(
        "Register the site at OAuth 2 providers",
        (
            "view_oauthprovider",
            "add_oauthprovider",
            "change_oauthprovider",
            "delete_oauthprovider",
        ),
        _ADMIN,
    ),
    Right("See and retry webhook calls", ("view_webhookcall", "change_webhookcall"), _ADMIN),
    Right(
        "See, generate, activate, retire and remove DKIM keys",
        ("view_signingkey", "add_signingkey", "change_signingkey", "delete_signingkey"),
        _ADMIN,
    ),
    Right(
        "Set quotas of users",
        ("view_quota", "add_quota", "change_quota", "delete_quota"),
        _ADMIN,
    ),
)


def permissions_of(group: str) -> frozenset[str]:
    """Return the code names of the permissions that a group is created with."""
    return frozenset(
        name for right in RIGHTS if group in right.groups for name in right.permissions
    )


def as_markdown() -> str:
    """Return the table for the documentation."""
    lines = [
        "| what | permissions of `outbox` | viewers | operators | administrators |",
        "|---|---|---|---|---|",
    ]
    for right in RIGHTS:
        names = ", ".join(f"`{name}`" for name in right.permissions)
        marks = " | ".join("yes" if group in right.groups else "" for group in GROUPS)
        lines.append(f"| {right.meaning} | {names} | {marks} |")
    return "\n".join(lines)
