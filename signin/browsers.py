"""The name of a browser and its system, for the list of sign-in sessions."""

from django.utils.translation import gettext as _

# The first one that occurs: Edge names Chrome, too, Chrome names Safari, and Android names Linux.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_SHORT = 60


def browser_name(agent: str) -> str:
    """Return “Firefox, Linux” for a User-Agent; of an unknown one, its beginning."""
    browser = next((name for token, name in _BROWSERS if token in agent), "")
    system = next((name for token, name in _SYSTEMS if token in agent), "")
    known = ", ".join(name for name in (browser, system) if name)
    return known or agent[:_SHORT] or _("Unknown browser")
