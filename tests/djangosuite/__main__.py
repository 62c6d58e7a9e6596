"""Run Django's mail suite against the outbox: `python -m tests.djangosuite [TEST …]`."""

import os
import sys
import tempfile

from tests.djangosuite.archive import mail_tests

MODULES = ["tests.djangosuite.wire", "tests.djangosuite.stored"]


def main(chosen: list[str]) -> int:
    """Return the number of failures."""
    sys.path.insert(0, str(mail_tests()))
    with tempfile.TemporaryDirectory(prefix="outbox-suite-") as scratch:
        os.environ["DJANGO_SUITE_SCRATCH"] = scratch
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.djangosuite.settings"
        import django
        from django.test.runner import DiscoverRunner

        django.setup()
        runner = DiscoverRunner(verbosity=1, interactive=False)
        return int(runner.run_tests(chosen or MODULES))


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
