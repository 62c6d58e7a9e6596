"""The site's settings with the neighbors, for an import in a process of its own."""

from mailsite.settings import *  # noqa: F403
from mailsite.settings import INSTALLED_APPS

INSTALLED_APPS += ["post_office", "mailer"]
