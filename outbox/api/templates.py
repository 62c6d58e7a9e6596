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
from django.template.base import Node, NodeList, TextNode, Variable, VariableNode
from django.template.defaulttags import ForNode, WithNode
from django.utils.functional import Promise

from outbox.api.values import check_characters, read_line, read_mapping, read_text, wrong_type
from outbox.conf import get_conf
from outbox.exceptions import InvalidMessageError, TranslatableError
from outbox.mail.html import HtmlTooLongError, clean_html, unusable_addresses
from outbox.models import Template
from outbox.texts import Value, gettext_noop

_LIBRARIES = {name: f"django.templatetags.{name}" for name in ("i18n", "l10n", "tz")}
_TAG_MARKS = (("{{", "}}"), ("{%", "%}"), ("{#", "#}"))
_UNCLOSED_MAX = 50  # on one line; minified CSS has a few
_OF_PERSONS = {"capfirst", "date", "default", "linebreaksbr", "lower", "time", "title", "upper"}


@dataclass(frozen=True, slots=True)
class Wording:
    """The content of one message. Without text, the text is derived from the HTML."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class CompiledTemplate:
    """A template that was compiled once and can be filled any number of times."""

    subject: DjangoTemplate
    text: DjangoTemplate
    html: DjangoTemplate
    placeholders: tuple[str, ...]  # that need a value, in order of appearance
    optional: tuple[str, ...]  # used with a default only
    is_owned: bool = False  # written by a user, so that the HTML it makes is cleaned

    def fill(self, values: Mapping[str, Any]) -> Wording:
        """Return the content with these values. Raise InvalidMessageError for a missing value."""
        given = dict.fromkeys(self.optional) | dict(read_mapping("context", values))
        try:
            subject = self._render(self.subject, Context(given, autoescape=False))
            text = self._render(self.text, Context(given, autoescape=False))
            html = self._render(self.html, Context(given))
        except (InvalidMessageError, DatabaseError):  # the latter may have ended the transaction
            raise
        except Exception as error:  # a template runs methods of the caller's values
            problem = f"The template cannot be rendered: {type(error).__name__}: {error}"
            raise InvalidMessageError("context", problem) from error
        for rendered in (subject, text, html):
            check_characters("context", rendered)
        one_line = " ".join(subject.split())  # a tag on a line of its own leaves line ends
        return Wording(one_line, text, _cleaned(html) if self.is_owned and html else html)

    def _render(self, part: DjangoTemplate, context: Context) -> str:
        rendered = _within_limit(part, context) if self.is_owned else part.render(context)
        return rendered + ""  # a plain string: what is safe in a web page is not safe in a message


def _within_limit(part: DjangoTemplate, context: Context) -> str:
    """Render a user's template up to the limit: it may repeat a long value very often."""
    limit = get_conf().max_text
    pieces: list[str] = []
    length = 0
    with context.render_context.push_state(part), context.bind_template(part):
        for node in part.nodelist:
            pieces.append(str(node.render_annotated(context)))
            length += len(pieces[-1])
            if length > limit:
                template = gettext_noop(
                    "With these values, the text has more than %(limit)s characters."
                )
                raise InvalidMessageError("context", template, limit=limit)
    return "".join(pieces)


def _cleaned(html: str) -> str:
    """Clean HTML whose values could be anything, such as a link to `javascript:`."""
    if unusable := unusable_addresses(html):
        template = gettext_noop(
            "“%(address)s” is not an address for a link or a picture. Begin it with https://."
        )
        raise InvalidMessageError("context", template, address=unusable[0])
    try:
        return clean_html(html)
    except HtmlTooLongError as error:
        raise InvalidMessageError("html", error) from error


Fill = Callable[[Mapping[str, Any]], Wording]


def filling(template: Template | str | None, words: Wording, *, has_values: bool) -> Fill:
    """Return a function from values to content: a template, or the words unchanged.

    With values the words are templates themselves. Raise InvalidMessageError when words and a
    template are given, or one cannot be compiled.
    """
    if template is not None:
        if words != Wording("", "", ""):
            raise InvalidMessageError("template", "Give a template or words, not both.")
        return compile_template(template).fill
    if not has_values:
        read_line("subject", words.subject)
        return lambda values: _untouched(words, values)
    return _compiled_words(words).fill


def _untouched(words: Wording, values: Mapping[str, Any]) -> Wording:
    if values:
        raise InvalidMessageError("context", "There are values, but no template for them.")
    return words


def _compiled_words(words: Wording) -> CompiledTemplate:
    try:
        return _compile(Template(subject=words.subject, text=words.text, html=words.html))
    except TemplatePartError as error:
        raise InvalidMessageError(error.part, f"In {error.part}: {error}") from error


def compile_template(template: Template | str) -> CompiledTemplate:
    """Compile a template, or the site's template of this name. Raise InvalidMessageError."""
    if isinstance(template, str | Promise):
        row = _of_site(read_text("template", template))
    elif isinstance(template, Template):
        row = template
    else:
        raise wrong_type("template", "a Template or its name", template)
    try:
        return _compile(row)
    except TemplatePartError as error:
        template = gettext_noop("In the %(field)s of %(name)s: %(why)s")
        name = row.name or "the template"
        raise InvalidMessageError(
            "template", template, field=error.part, name=name, why=error
        ) from error


def _compile(row: Template) -> CompiledTemplate:
    subject, text, html = (_compiled(row, part) for part in ("subject", "text", "html"))
    uses = [use for part in (subject, text, html) for use in _uses(part.nodelist)]
    needed = dict.fromkeys(name for name, has_default in uses if not has_default)
    optional = dict.fromkeys(name for name, _ in uses if name not in needed)
    is_owned = row.owner_id is not None
    count, limit = len(needed) + len(optional), get_conf().max_placeholders
    if is_owned and count > limit:
        template = gettext_noop("It has %(count)s placeholders. The limit is %(limit)s.")
        raise TemplatePartError("text", template, count=count, limit=limit)
    return CompiledTemplate(subject, text, html, tuple(needed), tuple(optional), is_owned)


def _of_site(name: str) -> Template:
    found = Template.objects.using(get_conf().database).of_site().filter(name=name).first()
    if found is None:
        raise InvalidMessageError("template", f"The site has no template named {name[:100]!r}.")
    return found


def check_template_part(part: str, text: str) -> None:
    """Raise TemplatePartError for a text that is too long, or has many tags that are not closed.

    Django searches the rest of the line for the end of each tag, so the work would be quadratic.
    """
    limit = get_conf().max_template
    if len(text) > limit:
        template = gettext_noop("It has %(count)s characters. The limit is %(limit)s.")
        raise TemplatePartError(part, template, count=len(text), limit=limit)
    for opener, closer in _TAG_MARKS:
        if opener in text and any(
            line.count(opener, line.rfind(closer) + 1) > _UNCLOSED_MAX for line in text.split("\n")
        ):
            template = gettext_noop("Close each placeholder on the line where it starts.")
            raise TemplatePartError(part, template)


class TemplatePartError(TranslatableError):
    """One part of a template has a mistake in it."""

    def __init__(self, part: str, template: str, /, **values: Value) -> None:
        super().__init__(template, **values)
        self.part = part


def _compiled(row: Template, part: str) -> DjangoTemplate:
    text = read_text("template", getattr(row, part))
    check_template_part(part, text)
    try:
        compiled = DjangoTemplate(text, engine=_engine())
    except (TemplateSyntaxError, RecursionError) as error:
        raise _syntax_error(part, error) from error
    if row.owner_id is not None:
        _check_persons(part, compiled.nodelist)
    return compiled


def _syntax_error(part: str, error: Exception) -> TemplatePartError:
    """Name the tag that Django cannot read, and quote what Django says about it."""
    token = getattr(error, "token", None)
    if token is None:
        template = gettext_noop("The template cannot be read: %(cause)s")
        return TemplatePartError(part, template, cause=str(error))
    template = gettext_noop("“%(tag)s” on line %(line)s cannot be read: %(cause)s")
    line = str(token.lineno)
    return TemplatePartError(part, template, tag=token.contents, line=line, cause=str(error))


def _check_persons(part: str, nodes: NodeList) -> None:
    for node in nodes:
        if isinstance(node, TextNode):
            continue
        if not isinstance(node, VariableNode):
            raise TemplatePartError(
                part,
                gettext_noop("Tags are not supported; use placeholders such as {{ name }}."),
            )
        _check_bare(part, node)
        for function, _ in _filters(node):
            name = getattr(function, "_filter_name", "")
            if name not in _OF_PERSONS:
                template = gettext_noop("the filter “%(name)s” cannot be used.")
                raise TemplatePartError(part, template, name=name)


def _check_bare(part: str, node: VariableNode) -> None:
    """Raise TemplatePartError for a lookup inside a value, which may call one of its methods."""
    for variable in _variables(node):
        if len(variable.lookups or ()) > 1:
            template = gettext_noop(
                "“%(name)s” cannot be used: a placeholder is one name without a dot."
            )
            raise TemplatePartError(part, template, name=str(variable.var))


def _variables(node: VariableNode) -> Iterator[Variable]:
    """Yield the variable of a placeholder and those of the arguments of its filters."""
    if isinstance(node.filter_expression.var, Variable):
        yield node.filter_expression.var
    for _, arguments in _filters(node):
        yield from (value for is_variable, value in arguments if is_variable)


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
        template = gettext_noop("There is no value for %(name)s.")
        raise InvalidMessageError("context", template, name=f"{{{{ {variable} }}}}")


def _uses(nodes: NodeList, bound: frozenset[str] = frozenset()) -> Iterator[tuple[str, bool]]:
    """Yield each name that the template needs from outside, and whether that use has a default."""
    for node in nodes:
        if isinstance(node, VariableNode):
            yield from _used_by(node, bound)
        inside = bound | _bound_by(node)
        for attribute in node.child_nodelists:
            yield from _uses(getattr(node, attribute, None) or NodeList(), inside)


def _used_by(node: VariableNode, bound: frozenset[str]) -> Iterator[tuple[str, bool]]:
    filters = {getattr(function, "_filter_name", "") for function, _ in _filters(node)}
    for variable in _variables(node):
        lookups = variable.lookups  # a constant has none
        if lookups and lookups[0] not in bound:
            is_shown = variable is node.filter_expression.var
            yield lookups[0], is_shown and "default" in filters and len(lookups) == 1


def _bound_by(node: Node) -> set[str]:
    if isinstance(node, ForNode):
        return {"forloop", *node.loopvars}
    return set(node.extra_context) if isinstance(node, WithNode) else set()


def _filters(node: VariableNode) -> list[tuple[Any, Any]]:
    return list(node.filter_expression.filters)
