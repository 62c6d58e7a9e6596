"""Pause delivery, or resume it."""

import datetime as dt
from typing import Any

from django.core.management.base import CommandError, CommandParser

from outbox import api
from outbox.conf import get_conf
from outbox.db.clock import database_now
from outbox.exceptions import NoAccountError
from outbox.management.output import OutboxCommand
from outbox.models import Pause


class Command(OutboxCommand):
    help = (
        "Pause delivery of everything, of an account or of a tag, with a reason. Deliveries that "
        "have begun complete, and nothing else is sent until the time has passed or --resume ends "
        "the pause. Without options, list the pauses."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--account", help="the account's name; default: everything")
        what.add_argument("--tag", default="", help="messages with this tag")
        parser.add_argument("--reason", help="why; the pages of waiting messages show it")
        parser.add_argument("--minutes", type=int, help="end the pause after this time")
        parser.add_argument("--resume", action="store_true", help="end the pause")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            account = api.account_named(options["account"]) if options["account"] else None
        except NoAccountError as error:
            raise CommandError(str(error)) from error
        if options["resume"]:
            wanted = account.pk if account else None
            mine = [
                one
                for one in api.pauses()
                if one.account_id == wanted
                and one.destination_id is None
                and one.tag == options["tag"]
            ]
            ended = sum(map(api.resume, mine))
            self.stdout.write(f"{ended} ended.")
        elif options["reason"]:
            minutes = options["minutes"]
            until = minutes and database_now(get_conf().database) + dt.timedelta(minutes=minutes)
            try:
                paused = api.pause(
                    account, tag=options["tag"], reason=options["reason"], until=until
                )
                self.stdout.write(_line(paused))
            except ValueError as error:
                raise CommandError(str(error)) from error
        else:
            for one in api.pauses():
                self.stdout.write(_line(one))


def _line(one: Pause) -> str:
    until = f"until {one.until:%Y-%m-%d %H:%M:%S %Z}" if one.until else "until it is resumed"
    return f"{one} paused {until}: {one.reason}"
