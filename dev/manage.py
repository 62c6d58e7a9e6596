"""Run a management command on the site of `make run`, whether the site is running or not."""

import os
import sys

from dev import site
from dev.redis_server import RedisServer


def main() -> None:
    """Replace this process by the command, with the environment of the site."""
    if not site.RUN.exists():
        sys.exit("There is no site yet. Run `make run` first.")
    redis = RedisServer(site.RUN / "redis", append_only=True)
    command = [sys.executable, str(site.ROOT / "manage.py"), *sys.argv[1:]]
    os.execve(sys.executable, command, site.environment(redis.url))  # noqa: S606  # no shell


if __name__ == "__main__":
    main()
