"""Prepare the site of `make run` in one process: migrations, static files, the first user."""

import sys
from pathlib import Path

import django
from django.core.management import call_command
from django.core.management.base import SystemCheckError


def main(login_file: str, port_before: str, port: str) -> None:
    """Prepare the site; steps that are already done do nothing."""
    django.setup()
    try:  # with the checks that recognize a database of former migrations
        call_command("migrate", verbosity=0, interactive=False, skip_checks=False)
    except SystemCheckError as error:
        sys.exit(str(error))
    call_command("collectstatic", verbosity=0, interactive=False)
    call_command(
        "outbox_setup_demo",
        login_file=Path(login_file),
        smtp_port=int(port),
        smtp_port_before=int(port_before),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
