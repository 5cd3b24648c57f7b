"""What one message may use while the engine renders it: time, turns of loops, memory and output.
Knows nothing of HTML, people or campaigns.

The engine asks before each loop, each look-up and each filter; nothing between two of its questions
takes long, because no value grows past a limit.
"""

from collections.abc import Callable, Iterator
from functools import partial, wraps
from io import StringIO
from time import monotonic, thread_time
from typing import Any, TextIO

import liquid
from liquid.exceptions import (
    FilterArgumentError,
    LiquidError,
    LocalNamespaceLimitError,
    LoopIterationLimitError,
    OutputStreamLimitError,
)
from liquid.filter import sequence_filter
from liquid.undefined import UNDEFINED

#: Characters that one part may render to; also of one value, and of all assigned ones together.
OUTPUT_LIMIT = 1_000_000
#: Turns of all loops of one part for one person together; also the longest literal range.
LOOP_LIMIT = 10_000
#: Seconds of CPU that all parts of one message may take together.
TIME_LIMIT = 0.5
#: A whole number with more digits than Python prints (sys.int_info.default_max_str_digits).
_LONGEST_NUMBER = 14_285  # bits
#: What an entry of a list costs beside its characters.
_ENTRY = 8
#: Arguments of a cycle, which are joined at each turn.
CYCLE_LIMIT = 100


class Clock:
    """The time of one message. A process that was held up elsewhere has used none of it."""

    __slots__ = ("_used_before", "deadline")

    def __init__(self) -> None:
        self._used_before = thread_time()
        self.deadline = monotonic() + TIME_LIMIT  #: when to look again

    def check(self) -> None:
        """Raise when the time is over."""
        if monotonic() < self.deadline:
            return
        left = TIME_LIMIT - (thread_time() - self._used_before)
        if left <= 0:
            raise LiquidError("took too long", token=None)
        self.deadline = monotonic() + left


class Context(liquid.RenderContext):
    """Names and budget of one part for one person; loops are counted together, not each."""

    def __init__(
        self, template: liquid.BoundTemplate, values: dict[str, Any], clock: Clock | None = None
    ) -> None:
        super().__init__(template, globals=values)
        self.turns = 0
        self.clock = clock or Clock()
        self._weights: dict[str, int] = {}
        self._held = 0

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Called by the engine before each loop."""
        self.turns += length
        if self.turns > LOOP_LIMIT:
            raise LoopIterationLimitError("too many turns of loops", token=None)
        super().raise_for_loop_limit(length)

    def loop(self, namespace: Any, forloop: Any) -> Any:
        """Called by the engine around each loop: its turns look at the clock."""
        forloop.it = self._watched(forloop.it)
        return super().loop(namespace, forloop)

    def _watched(self, turns: Iterator[Any]) -> Iterator[Any]:
        for turn in turns:
            self.clock.check()
            yield turn

    def get(self, path: list[Any], *, token: Any, default: object = UNDEFINED) -> object:
        """Called by the engine for each variable."""
        if monotonic() > self.clock.deadline:
            self.clock.check()
        if len(path) == 1:  # the engine's own way to a plain name is four times as long
            try:
                return self.scope[path[0]]
            except (KeyError, TypeError):  # not there, or no name at all
                pass
        return super().get(path, token=token, default=default)

    def filter(self, name: str, token: Any) -> Callable[..., object]:
        """Called by the engine before each filter. The engine's own looks at each one's marks."""
        if monotonic() > self.clock.deadline:
            self.clock.check()
        return self.env.filters.get(name) or super().filter(name, token)

    def assign(self, key: str, val: Any) -> None:
        """Called by the engine for assign and capture."""
        weight = weight_of(val)
        self._held += weight - self._weights.get(key, 0)
        if self._held > OUTPUT_LIMIT:
            words = f"the assigned values are longer than {OUTPUT_LIMIT} characters"
            raise LocalNamespaceLimitError(words, token=None)
        self._weights[key] = weight
        self.locals[key] = val

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        """What a block prints into: its own buffer, within what is left of the limit."""
        return Buffer(buf.size if isinstance(buf, Buffer) else 0)


class Buffer(StringIO):
    """What is printed, up to the limit. Line ends stay as they are written."""

    def __init__(self, used: int = 0) -> None:
        super().__init__(newline="")
        self.size = used

    def write(self, text: str) -> int:
        """Called by the engine for each piece."""
        self.size += len(text)
        if self.size > OUTPUT_LIMIT:
            raise OutputStreamLimitError(f"prints more than {OUTPUT_LIMIT} characters", token=None)
        return super().write(text)


#: Filters whose result is no larger than what they get, or grows once and never again.
_STEADY = frozenset({
    "abs", "at_least", "at_most", "base64_decode", "base64_url_safe_decode", "capitalize", "ceil",
    "compact", "default", "divided_by", "downcase", "find", "find_index", "first", "floor", "has",
    "last", "lstrip", "map", "modulo", "reject", "remove", "remove_first", "remove_last",
    "reverse", "round", "rstrip", "size", "slice", "sort", "sort_natural", "squish", "strip",
    "strip_html", "truncate", "uniq", "upcase", "url_decode", "where",
})  # fmt: skip


def weight_of(value: Any) -> int:
    """About as many characters as a value prints, whatever it shares with others."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(_ENTRY + weight_of(entry) for entry in value)
    if isinstance(value, dict):
        return sum(_ENTRY + len(str(key)) + weight_of(entry) for key, entry in value.items())
    return _ENTRY


def _too_long() -> FilterArgumentError:
    return FilterArgumentError("result would be too long", token=None)


def _checked(plain: Callable[..., Any], weigh: Callable[[Any], int]) -> Callable[..., Any]:
    """A filter whose result is not too long for the next one."""

    @wraps(getattr(plain, "func", plain))
    def checked(left: Any, *arguments: Any, **named: Any) -> Any:
        result = plain(left, *arguments, **named)
        if weigh(result) > OUTPUT_LIMIT:
            raise _too_long()
        return result

    return checked


def _length(result: Any) -> int:
    """Of a text; a number has none, or far too many digits to be printed."""
    if isinstance(result, str):
        return len(result)
    if isinstance(result, list):
        return _ENTRY * len(result)
    if isinstance(result, int) and result.bit_length() > _LONGEST_NUMBER:
        return OUTPUT_LIMIT + 1
    return 0


def _product(plain: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose result can be as long as the product of its arguments."""

    @wraps(getattr(plain, "func", plain))
    def bounded(left: Any, *arguments: Any, **named: Any) -> Any:
        longest = max((len(str(argument)) for argument in arguments), default=0)
        size = len(left) if hasattr(left, "__len__") else 0
        if (size + 1) * longest > OUTPUT_LIMIT or weight_of(left) > 2 * OUTPUT_LIMIT:
            raise _too_long()
        return plain(left, *arguments, **named)

    return bounded


@sequence_filter
def _uniq(sequence: Any, key: object = None) -> list[object]:
    """The engine's own compares each entry with all others."""
    seen: set[object] = set()
    result = []
    for entry in sequence:
        mark = _frozen(entry if key is None else _member(entry, key))
        if mark not in seen:
            seen.add(mark)
            result.append(entry)
    return result


_ABSENT = object()


def _member(entry: Any, key: object) -> object:
    try:
        return entry[key]
    except (KeyError, IndexError):
        return _ABSENT
    except TypeError as error:
        raise FilterArgumentError(f"can't read property '{key}'", token=None) from error


def _frozen(value: Any) -> object:
    """Equal, and hashable, for equal values."""
    if isinstance(value, dict):
        return frozenset((key, _frozen(entry)) for key, entry in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def limited(environment: liquid.Environment) -> dict[str, Callable[..., Any]]:
    """The environment's filters, each within limits and with what it wants to know."""
    kept = environment.filters | {"uniq": _uniq}
    for name, plain in kept.items():
        if getattr(plain, "with_environment", False):
            kept[name] = partial(plain, environment=environment)
    kept |= {name: _product(kept[name]) for name in ("replace", "join")}
    for name in kept.keys() - _STEADY:
        kept[name] = _checked(kept[name], weight_of if name == "concat" else _length)
    return kept
