"""Run the local mail server until SIGTERM or SIGINT."""

import argparse
import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from outbox.management.output import OutboxCommand
from outbox.testing import mailserver, serving
from outbox.testing.capabilities import EXTENSIONS, Capabilities


class Command(OutboxCommand):
    """Accept messages for any address on a loopback port and store them in Maildir folders."""

    help = f"Run the local mail server of development and tests.\n\n{mailserver.HELP}"
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return a parser that does not wrap the lines of the help."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--directory",
            type=Path,
            default=mailserver.DIRECTORY,
            help=f"directory of the messages ({mailserver.DIRECTORY})",
        )
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument(
            "--port",
            type=int,
            default=mailserver.PORT,
            help=f"default: {mailserver.PORT}; 0: a free one",
        )
        parser.add_argument("--ready-file", type=Path, help="file for the number of the open port")
        parser.add_argument("--user", help="require a login as this user ...")
        parser.add_argument("--password", help="... with this password (PLAIN, LOGIN, CRAM-MD5)")
        parser.add_argument("--certificate", type=Path, help="PEM certificate chain, for STARTTLS")
        parser.add_argument("--key", type=Path, help="PEM private key, if it is not in that file")

    def handle(self, *args: Any, **options: Any) -> None:
        capabilities = _capabilities(
            options["user"], options["password"], options["certificate"], options["key"]
        )
        server = mailserver.MailServer(options["directory"], capabilities=capabilities)

        def ready(port: int) -> None:
            if options["ready_file"]:
                serving.write_port(options["ready_file"], port)
            self.stdout.write(f"Mail server at {options['host']}:{port}")
            if options["verbosity"]:
                for line in _usage(options["host"], port, options["directory"]):
                    self.stdout.write(line)
            self.stdout.flush()

        running = serving.serve_until_signalled(
            server.receiver, options["host"], options["port"], ready
        )
        try:
            asyncio.run(running)
        except OSError as error:
            raise CommandError(
                f"Cannot listen on port {options['port']}: {error}. Choose another with --port."
            ) from error
        finally:
            server.ledger.close()


def _usage(host: str, port: int, directory: Path) -> Iterator[str]:
    """Yield the lines that explain how to send through the server, and how to read messages."""
    yield (
        "  Send through it: python manage.py outbox_account local --from-address me@example.com "
        f"--host {host} --port {port} --security none --default"
    )
    where = "" if directory == mailserver.DIRECTORY else f" --directory {directory}"
    yield f"  Read the messages: python manage.py outbox_mailbox{where}"


def _capabilities(
    user: str | None, password: str | None, certificate: Path | None, key: Path | None
) -> Capabilities:
    if (user is None) != (password is None):
        raise CommandError("--user and --password go together")
    extensions, tls = EXTENSIONS, None
    if certificate:
        extensions = (*extensions, "STARTTLS")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
    if user is None or password is None:
        return Capabilities(extensions=extensions, tls=tls)
    extensions = (*extensions, "AUTH PLAIN LOGIN CRAM-MD5")
    return Capabilities(extensions=extensions, tls=tls, login=(user, password), login_required=True)
