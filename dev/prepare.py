"""Prepares the site of `make run` in one process: migrations, static files, the first user."""

import sys
from pathlib import Path

import django
from django.core.management import call_command


def main(login_file: str, port_before: str, port: str) -> None:
    """Prepare it; every step does nothing when there is nothing to do."""
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    call_command("collectstatic", verbosity=0, interactive=False)
    call_command(
        "outbox_setup_demo",
        login_file=Path(login_file),
        smtp_port=int(port),
        smtp_port_before=int(port_before),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
