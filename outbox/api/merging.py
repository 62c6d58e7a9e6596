"""Merging: a template and values become subject, text and HTML, with a value for every placeholder.

Values are escaped in HTML and nowhere else. A template can load nothing from the site: no file, no
tag library but Django's for translation, numbers and time. One that a person owns is placeholders
and a few filters only, since its author need not be trusted with the server's time.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

from django.db import DatabaseError
from django.template import Context, Engine, TemplateSyntaxError
from django.template import Template as DjangoTemplate
from django.template.base import Node, NodeList, TextNode, VariableNode
from django.template.defaulttags import ForNode, WithNode
from django.utils.functional import Promise

from outbox.api.values import check_characters, read_line, read_mapping, read_text, wrong_type
from outbox.conf import get_conf
from outbox.exceptions import InvalidMailError
from outbox.mail.html import HtmlTooLongError, clean_html, unusable_addresses
from outbox.models import Template

_LIBRARIES = {name: f"django.templatetags.{name}" for name in ("i18n", "l10n", "tz")}
_OF_PERSONS = {"capfirst", "date", "default", "linebreaksbr", "lower", "time", "title", "upper"}


@dataclass(frozen=True, slots=True)
class Wording:
    """The words of one mail. Without text, the text will be made of the HTML."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Mould:
    """A template, ready to be filled any number of times."""

    subject: DjangoTemplate
    text: DjangoTemplate
    html: DjangoTemplate
    placeholders: tuple[str, ...]  # that need a value, in order of appearance
    optional: tuple[str, ...]  # used with a default only
    is_owned: bool = False  # written by a user, so that the HTML it makes is cleaned

    def fill(self, values: Mapping[str, Any]) -> Wording:
        """Put the values in. Raises InvalidMailError for one that is missing or unusable."""
        given = dict.fromkeys(self.optional) | dict(read_mapping("context", values))
        try:
            subject = self.subject.render(Context(given, autoescape=False))
            text = _plain(self.text.render(Context(given, autoescape=False)))
            html = _plain(self.html.render(Context(given)))
        except (InvalidMailError, DatabaseError):  # the latter may have ended the transaction
            raise
        except Exception as error:  # a template runs methods of the caller's values
            problem = f"The template cannot be rendered: {type(error).__name__}: {error}"
            raise InvalidMailError("context", problem) from error
        for rendered in (subject, text, html):
            check_characters("context", rendered)
        one_line = " ".join(subject.split())  # a tag on a line of its own leaves line ends
        return Wording(one_line, text, _cleaned(html) if self.is_owned and html else html)


def _cleaned(html: str) -> str:
    """Clean HTML whose values could be anything, such as a link to `javascript:`."""
    if unusable := unusable_addresses(html):
        problem = f"“{unusable[0]}” is not an address for a link or a picture."
        raise InvalidMailError("context", f"{problem} Begin it with https://.")
    try:
        return clean_html(html)
    except HtmlTooLongError as error:
        raise InvalidMailError("html", str(error)) from error


def _plain(rendered: str) -> str:
    """Take away Django's mark of what is safe in a page: words of a mail are not."""
    return rendered + ""


Fill = Callable[[Mapping[str, Any]], Wording]


def filling(template: Template | str | None, words: Wording, *, has_values: bool) -> Fill:
    """Return what makes a mail's words of its values: a template, or the words as they are.

    With values the words are templates themselves. Raises InvalidMailError when words and a
    template are given, or one cannot be compiled.
    """
    if template is not None:
        if words != Wording("", "", ""):
            raise InvalidMailError("template", "Give a template or words, not both.")
        return mould(template).fill
    if not has_values:
        read_line("subject", words.subject)
        return lambda values: _untouched(words, values)
    return _compiled_words(words).fill


def _untouched(words: Wording, values: Mapping[str, Any]) -> Wording:
    if values:
        raise InvalidMailError("context", "There are values, but no template for them.")
    return words


def _compiled_words(words: Wording) -> Mould:
    try:
        return _mould(Template(subject=words.subject, text=words.text, html=words.html))
    except TemplatePartError as error:
        raise InvalidMailError(error.part, f"In {error.part}: {error}") from error


def mould(template: Template | str) -> Mould:
    """Compile a template, or the site's template of this name. Raises InvalidMailError."""
    if isinstance(template, str | Promise):
        row = _of_site(read_text("template", template))
    elif isinstance(template, Template):
        row = template
    else:
        raise wrong_type("template", "a Template or its name", template)
    try:
        return _mould(row)
    except TemplatePartError as error:
        problem = f"In the {error.part} of {row.name or 'the template'}: {error}"
        raise InvalidMailError("template", problem) from error


def _mould(row: Template) -> Mould:
    subject, text, html = (_compiled(row, part) for part in ("subject", "text", "html"))
    uses = [use for part in (subject, text, html) for use in _uses(part.nodelist)]
    needed = dict.fromkeys(name for name, has_default in uses if not has_default)
    optional = dict.fromkeys(name for name, _ in uses if name not in needed)
    is_owned = row.owner_id is not None
    return Mould(subject, text, html, tuple(needed), tuple(optional), is_owned)


def _of_site(name: str) -> Template:
    found = Template.objects.using(get_conf().database).of_site().filter(name=name).first()
    if found is None:
        raise InvalidMailError("template", f"The site has no template named {name[:100]!r}.")
    return found


class TemplatePartError(Exception):
    """One part of a template has a mistake in it."""

    def __init__(self, part: str, error: Exception) -> None:
        super().__init__(str(error))
        self.part = part


def _compiled(row: Template, part: str) -> DjangoTemplate:
    try:
        compiled = DjangoTemplate(read_text("template", getattr(row, part)), engine=_engine())
        if row.owner_id is not None:
            _check_persons(compiled.nodelist)
    except (TemplateSyntaxError, RecursionError) as error:
        raise TemplatePartError(part, error) from error
    return compiled


def _check_persons(nodes: NodeList) -> None:
    for node in nodes:
        if isinstance(node, TextNode):
            continue
        if not isinstance(node, VariableNode):
            raise TemplateSyntaxError(
                "Tags are not supported; use placeholders such as {{ name }}."
            )
        for function, _ in _filters(node):
            name = getattr(function, "_filter_name", "")
            if name not in _OF_PERSONS:
                raise TemplateSyntaxError(f"the filter {name!r} cannot be used.")


@lru_cache(maxsize=1)
def _engine() -> Engine:
    return Engine(
        libraries=_LIBRARIES,
        loaders=[("django.template.loaders.locmem.Loader", {})],
        string_if_invalid=_Missing("%s"),
    )


class _Missing(str):
    """Django formats this with the name of a variable that has no value, and would go on."""

    __slots__ = ()

    def __mod__(self, variable: object) -> NoReturn:
        raise InvalidMailError("context", f"There is no value for {{{{ {variable} }}}}.")


def _uses(nodes: NodeList, bound: frozenset[str] = frozenset()) -> Iterator[tuple[str, bool]]:
    """Give each use of a name that the template does not make itself, and if it has a default."""
    for node in nodes:
        if isinstance(node, VariableNode):
            yield from _used_by(node, bound)
        inside = bound | _bound_by(node)
        for attribute in node.child_nodelists:
            yield from _uses(getattr(node, attribute, None) or NodeList(), inside)


def _used_by(node: VariableNode, bound: frozenset[str]) -> Iterator[tuple[str, bool]]:
    lookups = getattr(node.filter_expression.var, "lookups", None)  # a constant has none
    if lookups and lookups[0] not in bound:
        filters = {getattr(function, "_filter_name", "") for function, _ in _filters(node)}
        yield lookups[0], "default" in filters and len(lookups) == 1


def _bound_by(node: Node) -> set[str]:
    if isinstance(node, ForNode):
        return {"forloop", *node.loopvars}
    return set(node.extra_context) if isinstance(node, WithNode) else set()


def _filters(node: VariableNode) -> list[tuple[Any, Any]]:
    return list(node.filter_expression.filters)
