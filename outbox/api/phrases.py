"""Sentences that were made without a reader, put in the reader's language.

Workers, and code that knows no Django, write English: into rows, and into the errors they raise.
Here that English is recognised and translated when somebody reads it. What a server said, and a
sentence that is not in the list, stay as they are.
"""

import re
from functools import lru_cache

from django.utils.translation import get_language, gettext, gettext_noop

# In each, %(name)s stands for anything; under these names stands a sentence of this list again.
_SENTENCES = frozenset({"why"})
_LONGEST = 2_000  # characters; a longer text is a server's, and not worth the search
# What a stored reason may have from an operating system; its number says nothing to people.
_ERRNO = re.compile(r"(?:[A-Z]\w*Error: )?\[Errno -?\d+\] ")
# What may stand in front: the status of a refusal of our own, or what the sentence is about.
_START = re.compile(r"(?:[245]\.\d{1,3}\.\d{1,3} |[^\s“]+: )?")

PHRASES = (
    # What is wrong with an address
    gettext_noop("“%(text)s” has a control character in it"),
    gettext_noop("“%(text)s” has nothing before the @"),
    gettext_noop("“%(text)s” has more than %(count)s bytes"),
    gettext_noop("“%(text)s” has no domain"),
    gettext_noop("“%(text)s” has no valid IP address in its brackets"),
    gettext_noop("“%(text)s” has a domain of more than %(count)s bytes"),
    gettext_noop("“%(text)s” has no valid domain"),
    gettext_noop("“%(text)s” has a line break in it"),
    gettext_noop("“%(text)s” has a line break or another control character in it"),
    gettext_noop("“%(text)s” is more than one address"),
    gettext_noop("“%(text)s” is not an email address"),
    gettext_noop("“%(text)s” has a colon where none can stand"),
    gettext_noop("“%(text)s” has a quote that is never closed"),
    gettext_noop("“%(text)s” has a “(” that is never closed"),
    gettext_noop("“%(text)s” has a “<” that is never closed"),
    gettext_noop("“%(text)s” has text behind the “>”"),
    gettext_noop("“%(text)s” has more than one @"),
    gettext_noop("“%(text)s” has no @"),
    gettext_noop("“%(text)s” has a space in it; put a comma between two addresses"),
    gettext_noop("“%(text)s” has “%(mark)s” where none can stand"),
    gettext_noop("“%(text)s” has a dot at its end"),
    gettext_noop("“%(text)s” has quotes behind the @"),
    # What is wrong with a mail
    gettext_noop("Choose the account to send with."),
    gettext_noop("Enter at least one recipient."),
    gettext_noop("The mail would have %(size)s MB; the limit is %(limit)s MB in all."),
    gettext_noop("The account's own address: %(why)s"),
    gettext_noop("%(field)s has a line break or NUL in it"),
    gettext_noop("%(field)s has half a character in it"),
    gettext_noop("%(field)s has a word of more than %(count)s characters in it"),
    gettext_noop("%(field)s has no time zone"),
    gettext_noop("%(field)s has %(id)s in it, which is no message id"),
    gettext_noop("%(field)s %(id)s is no content id"),
    gettext_noop("%(field)s has an address that cannot be read: %(why)s"),
    gettext_noop("%(field)s has “%(host)s” in it, which is not a valid host name"),
    gettext_noop("%(field)s %(type)s is not a type such as 'application/pdf'"),
    gettext_noop("%(field)s names the parameter %(name)s twice"),
    gettext_noop("content_type has more than %(count)s characters"),
    gettext_noop("%(field)s is no header name"),
    gettext_noop("%(field)s is none of 1 to 5"),
    gettext_noop("%(field)s is written by the outbox itself, or given twice"),
    gettext_noop("the HTML has more than %(count)s characters"),
    gettext_noop("The message cannot be sent: %(why)s."),
    gettext_noop("the message has a NUL byte in it"),
    gettext_noop("the message has a line that does not end in CRLF"),
    gettext_noop("the last line of the message does not end in CRLF"),
    gettext_noop("the message has a Bcc header, which every recipient would see"),
    gettext_noop("the header has a stray line break in it"),
    gettext_noop("a line has %(count)s bytes; %(most)s is the most (RFC 5322 2.1.1)"),
    gettext_noop("the header has a line that is no header field: %(line)s"),
    gettext_noop("the message has no From header"),
    gettext_noop("the message has %(count)s %(name)s headers"),
    gettext_noop("From has several addresses, but there is no Sender header"),
    gettext_noop("the header has bytes outside ASCII that are not UTF-8"),
    gettext_noop("“%(file)s” cannot be read at present: try again later, or remove it."),
    gettext_noop("This draft was changed in another window."),
    gettext_noop("It was sent or discarded meanwhile."),
    # What is wrong with a template
    gettext_noop("In the %(field)s of %(name)s: %(why)s"),
    gettext_noop("Tags are not supported; use placeholders such as {{ name }}."),
    gettext_noop(
        "“%(address)s” is not an address for a link or a picture. Begin it with https://."
    ),
    gettext_noop("the filter '%(name)s' cannot be used."),
    gettext_noop("There is no value for %(name)s."),
    gettext_noop("Invalid filter: '%(name)s'"),
    gettext_noop("Could not parse the remainder: '%(rest)s' from '%(whole)s'"),
    gettext_noop("Could not parse some characters: %(where)s"),
    gettext_noop("Empty variable tag on line %(line)s"),
    gettext_noop("Empty block tag on line %(line)s"),
    gettext_noop("Variables and attributes may not begin with underscores: '%(name)s'"),
    gettext_noop("Unclosed tag on line %(line)s: '%(tag)s'. Looking for one of: %(ends)s."),
    gettext_noop(
        "Invalid block tag on line %(line)s: '%(tag)s'. Did you forget to register or load this "
        "tag?"
    ),
    gettext_noop("%(name)s requires %(count)s arguments, %(given)s provided"),
    # On the way to a server
    gettext_noop("DNS gave no answer in time"),
    gettext_noop("the name does not resolve (%(cause)s)"),
    gettext_noop("%(address)s is not an address mail may go to from here"),
    gettext_noop("no connection within %(seconds)s seconds"),
    gettext_noop("nothing listens there (connection refused)"),
    gettext_noop("the connection was reset"),
    gettext_noop("the network gave up waiting"),
    gettext_noop("no way to get there (%(cause)s)"),
    gettext_noop("the server takes no mail now"),
    gettext_noop("the server takes no mail now: %(reply)s"),
    gettext_noop("the server refused EHLO"),
    gettext_noop("the server refused EHLO: %(reply)s"),
    gettext_noop(
        "the server does not offer STARTTLS, which this account requires; something in between "
        "may have taken it out"
    ),
    gettext_noop("the server offers STARTTLS and then refuses it"),
    gettext_noop("the server offers STARTTLS and then refuses it: %(reply)s"),
    gettext_noop("plain bytes came behind the reply to STARTTLS; somebody may have put them in"),
    gettext_noop("the server's certificate was not accepted: %(cause)s"),
    gettext_noop("the server does not speak TLS from the first byte on this port"),
    gettext_noop("the TLS handshake failed: %(cause)s"),
    gettext_noop("the TLS handshake took too long"),
    gettext_noop("the server hung up during the TLS handshake"),
    gettext_noop("TLS failed: %(cause)s"),
    # At the login
    gettext_noop("a login is set, but TLS does not protect this connection"),
    gettext_noop("the login holds a NUL character"),
    gettext_noop("the server offers no way to log in that fits (offered: %(offered)s)"),
    gettext_noop("the server asks for more than the login has"),
    gettext_noop("the server asks for more than the login has: %(reply)s"),
    gettext_noop("the server's challenge is not base64"),
    gettext_noop("the server's challenge is not base64: %(reply)s"),
    gettext_noop("the login is longer than SMTP allows"),
    gettext_noop("the login is longer than SMTP allows: %(reply)s"),
    gettext_noop("the server offers ways to log in and knows none of them"),
    gettext_noop("the server offers ways to log in and knows none of them: %(reply)s"),
    gettext_noop("the server cannot check logins at the moment"),
    gettext_noop("the server cannot check logins at the moment: %(reply)s"),
    gettext_noop("the server refused the login"),
    gettext_noop("the server refused the login: %(reply)s"),
    gettext_noop("The stored password cannot be read with the present keys; enter it again."),
    # In the conversation
    gettext_noop("the server closed the connection"),
    gettext_noop("the connection was closed"),
    gettext_noop("the connection broke: %(cause)s"),
    gettext_noop("the connection ended"),
    gettext_noop("the server took longer than %(seconds)s seconds"),
    gettext_noop("the server is closing the connection (421)"),
    gettext_noop("the server is closing the connection (421): %(reply)s"),
    gettext_noop("the session was closed by QUIT"),
    gettext_noop("closed from this side"),
    gettext_noop("dropped from this side"),
    gettext_noop("this session may carry no more mail"),
    gettext_noop("the server spoke out of turn"),
    gettext_noop("the server refused the body half-way"),
    gettext_noop("the server sent “%(reply)s”, which nothing had asked for"),
    gettext_noop("the server answered “%(reply)s” to %(command)s, which is no answer to that"),
    gettext_noop("the server sent a line of more than %(count)s bytes"),
    gettext_noop("the server sent a reply of more than %(count)s lines"),
    gettext_noop("one reply of the server has two codes, %(first)s and %(second)s"),
    gettext_noop("the server sent “%(text)s”, which is no SMTP reply"),
    gettext_noop("the server sent the code %(code)s, which SMTP does not have"),
    gettext_noop("connecting to %(address)s port %(port)s"),
    gettext_noop("%(version)s, %(cipher)s, certificate of %(subject)s"),
    # What a server cannot take
    gettext_noop("the message holds a NUL byte, which SMTP cannot carry"),
    gettext_noop("the message has %(size)s bytes; the server takes no more than %(limit)s"),
    gettext_noop("the server does not offer SMTPUTF8, which the sender “%(address)s” needs"),
    gettext_noop("the server does not offer SMTPUTF8, which the recipient “%(address)s” needs"),
    gettext_noop("the server does not offer SMTPUTF8, which this message's header needs"),
    gettext_noop(
        "the server does not offer 8BITMIME, and re-encoding this message would break its signature"
    ),
    gettext_noop(
        "the server does not offer 8BITMIME, and this message has 8-bit bytes outside its parts"
    ),
    gettext_noop("“%(address)s” is not an address SMTP can carry"),
    gettext_noop("“%(address)s…” is longer than the %(count)s octets of an SMTP path"),
    gettext_noop("“%(domain)s” is not a domain name"),
    gettext_noop("the server takes no more recipients in one transaction (LIMITS)"),
    # What became of it
    gettext_noop("The server takes fewer recipients at once; the rest follow."),
    gettext_noop("The whole mail was sent, but its answer was lost: %(why)s"),
    gettext_noop("The reused connection had ended: %(why)s"),
    gettext_noop("Given up after %(count)s attempts; the last answer was: %(why)s"),
    gettext_noop("the mail was withdrawn before its end was sent"),
    gettext_noop("This mail could not be processed: %(why)s"),
    gettext_noop("The stored mail cannot be read at present: %(why)s"),
    gettext_noop("the source is neither in its row nor in storage"),
    gettext_noop("The worker that held it ended or fell silent."),
    gettext_noop("Its worker died before the mail was complete: certainly unsent."),
    gettext_noop(
        "Its worker died after the whole mail may have been sent: nobody knows whether it was."
    ),
    gettext_noop("It waited longer than its queue lifetime."),
    gettext_noop("Sent again by the account's policy; a second copy is possible."),
    gettext_noop("Its account was deleted; choose another one or cancel it."),
    gettext_noop("The server's answer arrived after the worker had lost its lease."),
    gettext_noop("The database refused the full record of this attempt."),
    gettext_noop("the limit of %(count)s recipients a minute is reached"),
    gettext_noop("the limit of %(count)s recipients a day is reached"),
    # What became of a webhook's call
    gettext_noop("not tried, since another call got no answer: %(why)s"),
    gettext_noop("no whole answer within %(seconds)s s"),
)


def translate(text: str) -> str:
    """Put a sentence in the reader's language; what is not known here stays as it is."""
    text = _ERRNO.sub("", text)
    language = get_language() or "en"
    return text if language.partition("-")[0] == "en" else _translate(text, language)


def is_known(text: str) -> bool:
    """Tell whether the sentence is one of the list."""
    return _recognise(text) is not None


# One page tells the same reason of forty recipients; each language has its own entry.
@lru_cache(maxsize=512)
def _translate(text: str, _language: str) -> str:
    found = _recognise(text) if len(text) <= _LONGEST else None
    if found is None:
        return text
    start, phrase, values = found
    for name in _SENTENCES & values.keys():
        values[name] = translate(values[name])
    return start + gettext(phrase) % values


def _recognise(text: str) -> tuple[str, str, dict[str, str]] | None:
    """Return what stood in front, the phrase, and what stood in its places."""
    found = _START.match(text)
    start = found[0] if found else ""
    for pattern, phrase in _patterns():
        if matched := pattern.fullmatch(text, len(start)):
            return start, phrase, matched.groupdict()
    return None


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return the phrases as patterns, those with the most words of their own first."""
    longest_first = sorted(PHRASES, key=lambda phrase: -len(_PLACE.sub("", phrase)))
    return [(_pattern(phrase), phrase) for phrase in longest_first]


_PLACE = re.compile(r"%\((\w+)\)s")


def _pattern(phrase: str) -> re.Pattern[str]:
    pieces = _PLACE.split(phrase)  # words and names of places in turn
    return re.compile(
        "".join(
            f"(?P<{piece}>.*)" if number % 2 else re.escape(piece)
            for number, piece in enumerate(pieces)
        ),
        re.DOTALL,
    )
