"""`make check`: run every check that needs no test run, even if one of them fails."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
MANAGE = [PYTHON, "manage.py"]

GATES = {
    "lint": [PYTHON, "-m", "ruff", "check"],
    "format": [PYTHON, "-m", "ruff", "format", "--check"],
    "types": [PYTHON, "-m", "mypy"],
    "unused code": [PYTHON, "-m", "dev.unused"],
    "migrations": [*MANAGE, "makemigrations", "--check", "--dry-run"],
    "deployment": [*MANAGE, "check", "--deploy", "--fail-level", "WARNING"],
}


def main() -> None:
    """Run the gates and exit with 1 when one of them failed."""
    with tempfile.TemporaryDirectory(prefix="outbox-check-") as scratch:
        environment = production(Path(scratch))
        failed = [name for name, gate in GATES.items() if not passes(name, gate, environment)]
    sys.exit(f"make check failed: {', '.join(failed)}." if failed else 0)


def passes(name: str, gate: list[str], environment: dict[str, str]) -> bool:
    """Run one check with production settings, with its output below its name."""
    print(f"— {name}", flush=True)
    return subprocess.run(gate, cwd=ROOT, env=environment, check=False).returncode == 0


def production(scratch: Path) -> dict[str, str]:
    """Return an environment like that of production, with random secrets."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "mailsite.settings",
        "ENV_FILE": "",
        "DEBUG": "off",
        "HTTPS": "on",
        "SECRET_KEY": Fernet.generate_key().decode() * 2,
        "OUTBOX_SECRET_KEYS": Fernet.generate_key().decode(),
        "DATABASE_URL": f"sqlite:///{scratch}/check.sqlite3",
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "ALLOWED_HOSTS": "mail.example.com",
    }


if __name__ == "__main__":
    main()
