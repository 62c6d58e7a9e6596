"""The words of sensitive messages, which must not be recorded when a server repeats them.

A rejection often quotes the link, the subject or the attachment that it is about. The reply keeps
its code and the common words of replies, so that it still says what is wrong.
"""

import base64
import binascii
import quopri
import re
from collections.abc import Iterator
from urllib.parse import unquote

MASK = "***"
_PARSED_MAX = 300_000  # bytes of a message whose words are collected
_WORDS_MAX = 50_000  # of one session
_RUN = re.compile(r"\S+")
_WORD = re.compile(r"[^\W_]{4,}")
_DIGITS = re.compile(r"\d{4,}")
_PUNCTUATION = ".,;:!?()<>[]{}\"'“”‘’"
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_STANDARD = str.maketrans("-_", "+/")
_COMMON = """
abuse accept accepted access account action address addresses again allowed already another
antispam appears arrived attachment attachments because been blacklist blacklisted blocked busy
cannot check client close closed closing command complete completed connection contact
contains content could data deferred delayed delivered delivery denied detail details detected
disabled discarded disk does domain down email error exceeded exceeds exist fail failed filter
found from full further greylisted greylisting have header help host http https information
internal invalid line lines link links local look mail mailbox malware maximum message messages
minutes moment more must name need not number only option over password phishing please policy
postmaster problem processed queue queued quota ready reason receive received recipient
recipients refused reject rejected relay reply reset retry router seconds security sender
sending sent server service session size slow smtp sorry space spam started storage subject
success support suspicious system table temporarily temporary than thank that this timeout title
transaction trash trouble type unable unavailable unknown user users verify view virtual
virus visit wait when will with your
"""  # words of replies, which no code is
_COMMON_WORDS = frozenset(_COMMON.split())


class ContentWords:
    """The words of the sensitive messages of one session."""

    def __init__(self) -> None:
        self._words: set[str] = set()
        # Of the envelope of the last message only: its words may be secret in another message.
        self._public: set[str] = set()
        self._hides_all = False  # too much to collect

    def add(self, source: bytes, addresses: tuple[str, ...]) -> None:
        """Add the words of a message. Those of its envelope are public until the next message."""
        self._public = {word for address in addresses for word in _words(address)}
        if len(source) > _PARSED_MAX or len(self._words) > _WORDS_MAX:
            self._hides_all = True
            return
        for text in _texts(source):
            self._words.update(word for word in _words(text) if word not in _COMMON_WORDS)

    def masked(self, text: str) -> str:
        """Return a text of the server without the words of the messages."""
        if self._hides_all:
            return MASK
        return _RUN.sub(lambda found: self._masked_run(found[0]), text)

    def _masked_run(self, run: str) -> str:
        if not run.isascii() or self._is_secret(run.strip(_PUNCTUATION).casefold()):
            return MASK
        masked = _WORD.sub(lambda found: self._masked_word(found[0]), run)
        if masked == run and any(self._knows(other) for other in _decoded(run)):
            return MASK
        return masked

    def _masked_word(self, word: str) -> str:
        return MASK if self._knows(word) else word

    def _knows(self, text: str) -> bool:
        return any(map(self._is_secret, _words(text)))

    def _is_secret(self, word: str) -> bool:
        return word in self._words and word not in self._public


def _words(text: str) -> Iterator[str]:
    """Yield the words of a text, its longer numbers, and what stands between two blanks."""
    folded = text.casefold()
    yield from _WORD.findall(folded)
    yield from _DIGITS.findall(folded)
    for run in _RUN.findall(folded):
        whole = run.strip(_PUNCTUATION)
        if len(whole) >= 4:  # noqa: PLR2004  # as in the patterns above
            yield whole


def _texts(source: bytes) -> Iterator[str]:
    """Yield the texts of a message: as it is sent, its headers and names, and its parts."""
    # The reader of MIME, which a process that only delivers does not need otherwise.
    from outbox.mail.mime_reader import read_entities
    from outbox.mail.parts import decoded_headers

    yield source.decode("utf-8", "replace")
    for _name, _raw, value in decoded_headers(source):
        yield value
    for entity in read_entities(source):
        yield entity.name
        if not entity.children:
            yield entity.content().decode("utf-8", "replace")


def _decoded(run: str) -> Iterator[str]:
    """Yield what a run of characters may stand for, in the encodings of email and of the web."""
    if "%" in run:
        yield unquote(run)
    if "=" in run:
        yield quopri.decodestring(run.encode()).decode("utf-8", "replace")
    for found in _BASE64.finditer(run):
        encoded = found[0].translate(_STANDARD)
        for start in range(4):
            whole = encoded[start : start + (len(encoded) - start) // 4 * 4]
            rest = encoded[start + len(whole) :]
            padded = whole + (rest.ljust(4, "=") if len(rest) > 1 else "")
            try:
                yield base64.b64decode(padded).decode("latin-1")
            except binascii.Error:
                continue
