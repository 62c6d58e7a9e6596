"""List, create or change accounts. Passwords are neither command-line arguments nor printed."""

import getpass
import os
import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from outbox.api.mailboxes import fetch_with_new_login
from outbox.conf import get_conf
from outbox.mail.addresses import AddressError, parse_address
from outbox.management.accounts import SettingsError, account_of_settings
from outbox.management.output import OutboxCommand
from outbox.models import Account, Security
from outbox.models.secrets import SecretUnreadableError
from outbox.testing.dialogue import shown

PASSWORD_VARIABLE = "OUTBOX_ACCOUNT_PASSWORD"  # noqa: S105  # the name of a variable
NAME_OF_SETTINGS = "default"
_FIELDS = ("from_address", "from_name", "host", "port", "security", "username")


class Command(OutboxCommand):
    help = (
        "List the accounts. With a name, create or change that account. With --from-settings, use "
        "EMAIL_HOST and the related settings, or an entry of MAILERS. A password is read from "
        f"{PASSWORD_VARIABLE}, from standard input, or at a prompt."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="of the account to create or change")
        parser.add_argument(
            "--from-settings",
            action="store_true",
            help=f"create the account ('{NAME_OF_SETTINGS}' if no name is given) from EMAIL_HOST "
            "and the related settings, or from MAILERS",
        )
        parser.add_argument("--mailer", help="with --from-settings: which entry of MAILERS")
        parser.add_argument("--from-address", help="the sender's address")
        parser.add_argument("--from-name", help="the sender's name")
        parser.add_argument("--host", help="the SMTP server")
        parser.add_argument("--port", type=int, help="default: 587")
        parser.add_argument("--security", choices=Security.values)
        parser.add_argument("--username", help="for the login; prompts for the password")
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from standard input"
        )
        parser.add_argument(
            "--default", action="store_true", help="use it for messages without an account"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        given = {name: options[name] for name in _FIELDS if options[name] is not None}
        if options["from_settings"]:
            if given:
                raise CommandError("--from-settings and options for a server exclude each other.")
            self._take_over(options)
        elif options["name"] is not None:
            password = _password(options, has_user=bool(given.get("username")))
            self._save(options["name"], given, password, default=options["default"])
        elif given or options["default"] or options["mailer"]:
            raise CommandError("Add the name of the account.")
        else:
            self._list()

    def _list(self) -> None:
        accounts = Account.objects.using(get_conf().database).select_related("owner")
        for account in accounts:
            server = f"{account.host}:{account.port} {account.security}"
            if account.is_direct:
                server = "direct"
            user = f" as {account.username}" if account.username else ""
            owner = account.owner.get_username() if account.owner else "the site"
            mark = "  default for apps" if account.is_app_default else ""
            self.stdout.write(shown(f"{account}  {server}{user}  owner: {owner}{mark}"))
        if not accounts:
            self.stdout.write(
                "There is no account. Create one with: outbox_account NAME --from-address ADDRESS "
                "--host SERVER, or with outbox_account --from-settings."
            )

    def _take_over(self, options: dict[str, Any]) -> None:
        try:
            described = account_of_settings(options["mailer"])
        except SettingsError as error:
            raise CommandError(str(error)) from error
        name = options["name"] or NAME_OF_SETTINGS
        has_default = Account.objects.using(get_conf().database).filter(is_app_default=True)
        self._save(
            name,
            dict(described.fields),
            described.password,
            default=options["default"] or not has_default.exists(),
        )
        for setting in described.ignored:
            self.stderr.write(f"{setting} is ignored: an account has no client certificate.")

    def _save(
        self, name: str, fields: dict[str, Any], password: str | None, *, default: bool
    ) -> None:
        """Create or change the site's account with a name, and print which of the two happened."""
        using = get_conf().database
        with transaction.atomic(using=using):
            found = Account.objects.using(using).select_for_update().filter(name=name)
            if len(found) > 1 or any(one.owner_id is not None for one in found):
                raise CommandError(
                    f"The account {shown(name)!r} belongs to a user, or is not unique."
                )
            account = found[0] if found else Account(name=name)
            # A person with access to the commands may name any server.
            trusted = {"is_trusted": True, "is_active": True}
            changed = _change(account, fields | trusted, password)
            if default and not account.is_app_default:
                Account.objects.using(using).filter(is_app_default=True).update(
                    is_app_default=False
                )
                account.is_app_default = True
                changed = True
            _check(account)
            if changed or not found:
                account.save(using=using)
                fetch_with_new_login(account)
        done = ("changed" if changed else "unchanged") if found else "created"
        mark = ", default for apps" if account.is_app_default else ""
        self.stdout.write(shown(f"Account {account} {done}: {account.host}:{account.port}{mark}."))


def _password(options: dict[str, Any], *, has_user: bool) -> str | None:
    """Return the password from one of its sources, or None if there is none."""
    if options["password_stdin"]:
        return sys.stdin.readline().rstrip("\r\n")
    if (given := os.environ.get(PASSWORD_VARIABLE)) is not None:
        return given
    if has_user and sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return None


def _change(account: Account, fields: dict[str, Any], password: str | None) -> bool:
    changed = False
    for name, value in fields.items():
        if getattr(account, name) != value:
            setattr(account, name, value)
            changed = True
    if password is None and account.username and account.is_secret_void:
        raise CommandError(
            "The stored password belongs to another server or username: enter it again, with "
            f"--password-stdin or in {PASSWORD_VARIABLE}."
        )
    try:
        if password is not None and _stored(account) != password:
            account.secret = password
            changed = True
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    if changed:
        account.tested_at = None
    return changed


def _stored(account: Account) -> str | None:
    try:
        return account.secret
    except SecretUnreadableError:
        return None


def _check(account: Account) -> None:
    """Raise CommandError, naming each invalid field."""
    try:
        account.full_clean(validate_unique=False, validate_constraints=False)
        parse_address(account.from_address)
    except ValidationError as error:
        texts = [f"{name}: {' '.join(of)}" for name, of in error.message_dict.items()]
        raise CommandError(" ".join(texts)) from error
    except AddressError as error:
        raise CommandError(f"from_address: {error}") from error
