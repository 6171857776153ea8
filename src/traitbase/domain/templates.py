"""Templates of messages, in Liquid: what they ask for, and what they become, within bounds whatever they say.

Who writes a template is trusted with the workspace's data, and not with the server: what it makes of a profile is
bounded in steps, in size and in time. A value that is not there is empty text; which ones were shown so is told. In
HTML every value is escaped; in plain text none is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import Decimal
from io import StringIO
from typing import Any, NamedTuple, TextIO

from liquid import BoundTemplate, Environment, RenderContext, Undefined
from liquid.exceptions import LiquidError, ResourceLimitError
from liquid.output import LimitedStringIO
from liquid.span import Span
from liquid.static_analysis import Variable
from liquid.token import Token

from traitbase.domain.errors import Fault, InvalidInput, Refused
from traitbase.domain.template_numbers import NUMBER_FILTERS, plain_number
from traitbase.domain.values import to_number

TEMPLATE_CHARACTERS_MAX = 262_144
"""Of a template's source."""

OUTPUT_BYTES_MAX = 1_048_576
"""Of what it becomes, and of any text on the way there."""

STEPS_MAX = 10_000
"""Rounds of loops in all, and elements of a range."""

SECONDS_MAX = 1.0
"""For one profile."""

VARIABLES = ("profile", "properties", "data", "campaign", "unsubscribe_url")
"""What a template can ask for."""

_NESTED_MAX = 30
_NOWHERE = Span("", -1)
_LEFT_OUT_TAGS = ("include", "render")  # there is nothing to include

_unseen: ContextVar[dict[str, None]] = ContextVar("unseen")


class Rendered(NamedTuple):
    """What a template became. `unknown`: what was shown as empty text because it is not there, in order."""

    text: str
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A template that can be rendered. `asks_for` are the paths of what it looks at, such as `properties.plan`."""

    path: str
    asks_for: tuple[str, ...]
    _bound: BoundTemplate

    def render(self, values: Mapping[str, Any]) -> Rendered:
        """Render it with values by name (see `VARIABLES`): texts, numbers, booleans, lists and mappings of them.

        Raises Refused (`template_failed`) that says what in the template went too far, or cannot be done.
        """
        unknown: dict[str, None] = {}
        token = _unseen.set(unknown)
        try:
            text = self._bound.render(**{name: _plain(value) for name, value in values.items()})
        except ResourceLimitError as error:
            raise Refused(f"{self.path}{_line_of(error)}: {_limit_of(error)}", code="template_failed") from error
        except (LiquidError, ArithmeticError, ValueError, TypeError, RecursionError, OverflowError) as error:
            raise Refused(f"{self.path}{_line_of(error)}: {_what(error)}", code="template_failed") from error
        finally:
            _unseen.reset(token)
        return Rendered(text, tuple(unknown))


def parse_template(source: str, *, path: str, html: bool) -> Template:
    """Return a template. `path` is where it stands, for messages; `html`: values are escaped.

    Raises InvalidInput that names the line and what is wrong there.
    """
    if len(source) > TEMPLATE_CHARACTERS_MAX:
        message = f"{path}: {len(source):,} characters are too many, at most {TEMPLATE_CHARACTERS_MAX:,} are allowed"
        raise InvalidInput(message, faults=(Fault(path, message),), code="bad_template")
    try:
        bound = (_HTML if html else _TEXT).from_string(source)
        analysis = bound.analyze()
    except (LiquidError, RecursionError) as error:
        message = f"{path}{_line_of(error)}: {_what(error)}"
        raise InvalidInput(message, faults=(Fault(path, message),), code="bad_template") from error
    for name, uses in analysis.filters.items():
        if name not in bound.env.filters:
            line = source.count("\n", 0, max(uses[0].index, 0)) + 1
            message = (
                f"{path}, line {line}: there is no filter {name!r}; there are {', '.join(sorted(bound.env.filters))}"
            )
            raise InvalidInput(message, faults=(Fault(path, message),), code="bad_template")
    asks_for = {str(each): None for uses in analysis.globals.values() for each in uses}
    if strangers := [each for each in asks_for if each.split(".")[0].split("[")[0] not in VARIABLES]:
        message = f"{path}: there is no {strangers[0]!r}; a template can ask for {', '.join(VARIABLES)}"
        raise InvalidInput(message, faults=(Fault(path, message),), code="bad_template")
    return Template(path, tuple(asks_for), bound)


class _Unknown(Undefined):
    """What is not there. It is told of when it is shown: asking for it, or having a default, is no fault."""

    __slots__ = ()

    def __str__(self) -> str:
        _unseen.get({})[self.name] = None
        return ""


class _BoundedContext(RenderContext):
    """Looks at the clock whenever something is looked up, and at sizes whenever a filter is applied."""

    __slots__ = ("_until",)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._until = time.monotonic() + SECONDS_MAX

    def get(self, path: list[object], *arguments: Any, **named: Any) -> object:
        self._look_at_the_clock()
        found = super().get(path, *arguments, **named)
        if isinstance(found, _Unknown):
            found.name = str(Variable(path, _NOWHERE))  # type: ignore[arg-type]  # the parts of a path, as it has them
        return found

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        self._look_at_the_clock()
        apply = super().filter(name, token)

        def bounded(*arguments: Any, **named: Any) -> object:
            _check_arguments(name, arguments)
            result = apply(*arguments, **named)
            if isinstance(result, str | list) and len(result) > OUTPUT_BYTES_MAX:
                raise ResourceLimitError(f"{name} makes more than {OUTPUT_BYTES_MAX:,} characters", token=token)
            return result

        return bounded

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        return LimitedStringIO(OUTPUT_BYTES_MAX - (buf.size if isinstance(buf, LimitedStringIO) else 0), newline="")

    def _look_at_the_clock(self) -> None:
        if time.monotonic() > self._until:
            raise ResourceLimitError(f"it takes more than {SECONDS_MAX:g} s", token=None)


class _BoundedTemplate(BoundTemplate):
    context_class = _BoundedContext

    def _get_buffer(self) -> StringIO:
        return LimitedStringIO(OUTPUT_BYTES_MAX, newline="")  # a value's line ends stay as they are


class _BoundedEnvironment(Environment):
    output_stream_limit = OUTPUT_BYTES_MAX
    local_namespace_limit = 4 * OUTPUT_BYTES_MAX
    loop_iteration_limit = STEPS_MAX
    context_depth_limit = _NESTED_MAX
    block_nesting_limit = _NESTED_MAX
    template_class = _BoundedTemplate


def _environment(*, html: bool) -> Environment:
    environment = _BoundedEnvironment(undefined=_Unknown, autoescape=html)
    for name in _LEFT_OUT_TAGS:
        del environment.tags[name]
    environment.filters.update(NUMBER_FILTERS)
    return environment


_HTML, _TEXT = _environment(html=True), _environment(html=False)


def _check_arguments(name: str, arguments: Sequence[Any]) -> None:
    """Raise ResourceLimitError before a filter makes of what is small something that is not."""
    if any(isinstance(each, range) and len(each) > STEPS_MAX for each in arguments):
        raise ResourceLimitError(f"a range has more than {STEPS_MAX:,} elements", token=None)
    size = 0
    match name, arguments:
        case "replace", (str() as text, sought, by):
            size = max(text.count(str(sought)), 1) * len(str(by)) if str(sought) else len(text) * len(str(by))
        case "join", (list() | tuple() | range() as elements, between):
            size = len(elements) * len(str(between))
    if size > OUTPUT_BYTES_MAX:
        raise ResourceLimitError(f"{name} makes more than {OUTPUT_BYTES_MAX:,} characters", token=None)


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            number = to_number(value)
            return str(value) if number is None else plain_number(number)
        case list() | tuple():
            return [_plain(each) for each in value]
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case _:
            return value


def _line_of(error: BaseException) -> str:
    token = getattr(error, "token", None)
    if token is None or not getattr(token, "source", ""):
        return ""
    return f", line {token.source.count(chr(10), 0, max(token.start_index, 0)) + 1}"


def _limit_of(error: ResourceLimitError) -> str:
    told = {
        "OutputStreamLimitError": f"it makes more than {OUTPUT_BYTES_MAX:,} bytes",
        "LoopIterationLimitError": f"its loops take more than {STEPS_MAX:,} rounds",
        "ContextDepthError": f"more than {_NESTED_MAX} of it are inside each other",
        "BlockNestingError": f"more than {_NESTED_MAX} of it are inside each other",
        "LocalNamespaceLimitError": "what it assigns is too large",
    }
    return told.get(type(error).__name__) or str(error.args[0])


def _what(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "too much of it is inside each other"
    text = str(error.args[0]) if error.args else type(error).__name__
    return text or type(error).__name__
