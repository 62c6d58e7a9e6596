"""Runs a management command on the site of `make run`, whether that runs at the moment or not."""

import os
import sys

from dev import site
from dev.redis_server import RedisServer


def main() -> None:
    """Give the command the site's environment, and be it."""
    if not site.RUN.exists():
        sys.exit("There is no site yet: `make run` makes it.")
    redis = RedisServer(site.RUN / "redis", append_only=True)
    command = [sys.executable, str(site.ROOT / "manage.py"), *sys.argv[1:]]
    os.execve(sys.executable, command, site.environment(redis.url))  # noqa: S606  # no shell


if __name__ == "__main__":
    main()
