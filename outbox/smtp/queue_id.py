"""The queue id that a server names in its reply to the final dot.

The server's operators find the message in their log by it. No standard defines its place, so each
known wording has a pattern. A reply without an id yields "".

Every pattern takes linear time, because the server chooses the text: quantifiers are possessive,
and what may match anywhere starts with a fixed word.
"""

import re
from collections.abc import Iterable

_ID = r"<?(\w[\w.:@,+/=~-]*+)"
_START = r"^(?:2\.\d{1,3}\.\d{1,3}:? ++)?"  # of a line, after an enhanced code
# The words around it identify the id.
_NAMED = (
    rf"\benvid={_ID}",  # Alibaba Cloud, which adds "queued as freedom"
    rf"\bqueued (?:for delivery )?(?:as|with id) {_ID}",  # Postfix and many others
    rf"\bqueued on [\w.-]++ (?:as )?{_ID}",  # Yandex
    rf"\b(?:queue|envelope) id {_ID}",  # Sina; Oracle Messaging
    rf"\bqueued \({_ID}\)",  # Haraka
    r"\bInternalId=(\d++)",  # Exchange
    rf"\b(?:session)?id={_ID}",  # Exim and 1&1; Cyrus
    r"\bqp (\d++)",  # qmail
    rf"\breceived OK \[{_ID}\]",  # Mimecast
    rf"{_START}<[^<>\n]{{1,998}}+> {_ID} saved",  # Dovecot
    rf"{_START}{_ID}> queued mail for delivery",  # Exchange 2003
)
# It could be any word, so it has to look like an id.
_BARE = (
    rf"{_START}{_ID} (?:message |mail )?accepted for delivery",  # Sendmail, OpenSMTPD, Cloudmark
    rf"\bmessage {_ID} accepted",  # IronPort
    rf"\bOK[:.]? ++(?:queued )?(?:\d{{9,}}+ ++)?{_ID}",  # Gmail, SES, SparkPost, Courier
)
_FLAGS = re.ASCII | re.IGNORECASE | re.MULTILINE
_NAMED_PATTERNS, _BARE_PATTERNS = (
    [re.compile(form, _FLAGS) for form in forms] for forms in (_NAMED, _BARE)
)
_DIGIT = re.compile("[0-9]")
_HAS_DIGIT_OR_CAPITAL = re.compile("[0-9]|.[A-Z]")
_MIN_BARE = 6
_SEARCHED = 2_000  # characters; ids are in the first lines


def find_queue_id(text: str) -> str:
    """Return the queue id in the text of a reply, or "" if there is none."""
    text = text[:_SEARCHED]
    named = (found for found in _ids(_NAMED_PATTERNS, text) if _HAS_DIGIT_OR_CAPITAL.search(found))
    bare = (found for found in _ids(_BARE_PATTERNS, text) if _is_unlike_a_word(found))
    return next(named, "") or next(bare, "")


def _ids(patterns: Iterable[re.Pattern[str]], text: str) -> Iterable[str]:
    return (found[1].rstrip(".,:") for pattern in patterns if (found := pattern.search(text)))


def _is_unlike_a_word(text: str) -> bool:
    has_both_cases = not text[1:].islower() and not text[1:].isupper()
    return len(text) >= _MIN_BARE and (has_both_cases or bool(_DIGIT.search(text)))
