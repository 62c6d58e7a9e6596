"""Generate, list, activate, retire and remove DKIM keys. Private keys are never printed."""

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from outbox import api
from outbox.exceptions import TranslatableError
from outbox.mail.dkim_keys import Algorithm, quoted_strings
from outbox.management.output import OutboxCommand
from outbox.models import KeyState, SigningKey

_KINDS = {
    "rsa": (Algorithm.RSA,),
    "ed25519": (Algorithm.ED25519,),
    "both": (Algorithm.RSA, Algorithm.ED25519),
}
_ACTIONS = {
    "activate": (api.activate_signing_key, "Messages from {domain} are signed with it."),
    "retire": (api.retire_signing_key, "Publish its record until its messages have arrived."),
}


class Command(OutboxCommand):
    help = (
        "List the DKIM keys and their DNS records. With a domain and --generate, make a key and "
        "print the record to publish; it signs nothing before --activate. --retire ends its use, "
        "and --remove deletes it. Private keys are stored encrypted and never printed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("domain", nargs="?", default="", help="of the senders' addresses")
        action = parser.add_mutually_exclusive_group()
        action.add_argument(
            "--generate", choices=_KINDS, help="make an RSA 2048 key, an Ed25519 key, or both"
        )
        action.add_argument("--activate", metavar="SELECTOR", help="sign with this key")
        action.add_argument("--retire", metavar="SELECTOR", help="stop signing with this key")
        action.add_argument("--remove", metavar="SELECTOR", help="delete this key")
        parser.add_argument(
            "--selector", default="", help="with --generate: its selector; default: with the month"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            keys = self._handle(options)
        except (TranslatableError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps([_facts(key) for key in keys], indent=2))
            return
        for key in keys:
            self.stdout.write(_shown(key))
        if not (keys or options["remove"]):
            self.stdout.write("There is no key. Make one with: outbox_dkim DOMAIN --generate rsa")

    def _handle(self, options: dict[str, Any]) -> list[SigningKey]:
        """Perform the action and return the keys to print."""
        domain, kinds = options["domain"], _KINDS.get(options["generate"], ())
        chosen = [name for name in ("activate", "retire", "remove") if options[name] is not None]
        if not domain and (kinds or chosen):
            raise CommandError("Add the domain.")
        if options["selector"] and len(kinds) != 1:
            raise CommandError("--selector is for --generate rsa or --generate ed25519.")
        if kinds:
            return [
                api.generate_signing_key(domain, kind, selector=options["selector"])
                for kind in kinds
            ]
        keys = api.list_signing_keys(domain)
        if not chosen:
            return keys
        (name,) = chosen
        key = next((key for key in keys if key.selector == options[name].lower()), None)
        if key is None:
            raise CommandError(f"{domain} has no key with the selector {options[name]}.")
        return self._apply(name, key, is_quiet=options["json"])

    def _apply(self, name: str, key: SigningKey, *, is_quiet: bool) -> list[SigningKey]:
        if name == "remove":
            api.remove_signing_key(key)
            if not is_quiet:
                self.stdout.write(f"{key} was removed. Its DNS record is not needed any more.")
            return []
        change, note = _ACTIONS[name]
        if not change(key):
            raise CommandError(f"The key is {key.get_state_display()}.")
        if not is_quiet:
            self.stdout.write(note.format(domain=key.domain))
        return [key]


def _shown(key: SigningKey) -> str:
    since = {KeyState.ACTIVE: key.activated_at, KeyState.RETIRED: key.retired_at}.get(
        KeyState(key.state), key.created_at
    )
    state = KeyState(key.state).name.lower()
    record = quoted_strings(key.record_text)
    return (
        f"{key.domain}  selector {key.selector}  {key.algorithm}  {state} since {since:%Y-%m-%d}\n"
        f"{key.record_name}. IN TXT {record}\n"
    )


def _facts(key: SigningKey) -> dict[str, Any]:
    return {
        "domain": key.domain,
        "selector": key.selector,
        "algorithm": key.algorithm,
        "state": key.state,
        "created_at": key.created_at.isoformat(),
        "record_name": key.record_name,
        "record_type": "TXT",
        "record_text": key.record_text,
    }
