"""A parsed part cut into static text and numbered slots, and the slots' values for one person.

Plain variables are placed without the engine; whatever has logic is rendered by it, node by node
with one context for each part, so that what one node assigns the next one sees.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from liquid import BoundTemplate
from liquid.ast import BlockNode, ConditionalBlockNode, Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.primitive import Literal
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.builtin.tags.doc_tag import DocNode
from liquid.builtin.tags.for_tag import BreakNode, ContinueNode, ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.inline_comment_tag import InlineCommentNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.exceptions import LiquidError

from mail.budget import Buffer, Clock, Context
from mail.liquid import environment, parse
from mail.message import Pieces
from mail.people import RenderError, one_line, sendable, text_of
from mail.repeats import repeated
from mail.variables import QUESTIONS

_COMMENTS = (CommentNode, DocNode, InlineCommentNode)
_CHOOSING = (IfNode, UnlessNode, CaseNode, ForNode)
#: Nodes that print nothing when all in them is blank, and remember nothing.
_PURE = (
    *_CHOOSING, *_COMMENTS, BlockNode, ConditionalBlockNode, MultiExpressionBlockNode,
    ContentNode, BreakNode, ContinueNode,
)  # fmt: skip

#: Two slots that every campaign has, whether or not they stand in its parts.
TRACKING_SLOT, CONSENT_SLOT = range(2)
_FIRST_FREE_SLOT = 2

#: The slots that a variable of our own stands for; strings are static text around them.
Expansion = tuple[str | int, ...]


class Token(NamedTuple):
    """A variable that is a signed token in some static text."""

    before: str
    slot: int


@dataclass
class Plain:
    """A variable that is placed as it is: one value, up to one slot for each kind of place."""

    path: tuple[str, ...]
    has_default: bool
    defaults: dict[str, str] = field(default_factory=dict)  #: by place; what a missing one prints
    slots: dict[str, int] = field(default_factory=dict)  #: by place


class Step(NamedTuple):
    """Nodes that the engine renders into one slot."""

    nodes: list[Node]
    slot: int


@dataclass
class Logic:
    """All that the engine has to do in one part."""

    template: BoundTemplate
    place: str
    steps: list[Step] = field(default_factory=list)

    def add(self, nodes: list[Node], slot: int) -> int:
        """One more step; gives its slot back."""
        self.steps.append(Step(nodes, slot))
        return slot


@dataclass
class Slots:
    """Hands out slot numbers; a variable used twice in one kind of place has one slot."""

    constants: Mapping[str, str]  #: our own variables that are the same for everybody
    tokens: Mapping[str, Token]  #: our own variables that carry a token
    count: int = _FIRST_FREE_SLOT
    plains: dict[tuple[tuple[str, ...], str], Plain] = field(default_factory=dict)
    logics: list[Logic] = field(default_factory=list)

    def new(self) -> int:
        """The next slot's number."""
        self.count += 1
        return self.count - 1

    def cut(self, source: str, place: str, local_names: frozenset[str]) -> Pieces:
        """One part as pieces. Remembers how to fill the slots among them."""
        template, spans = parse(source, place)
        again = repeated(template, source, spans, local_names)
        shared: dict[str, int] = {}
        pieces: list[str | int] = []
        logic = Logic(template, place)
        silent: list[Node] = []  # assignments that wait for the next node that prints
        open_step: Step | None = None  # takes neighbours: nothing static has come since
        for node, words in zip(template.nodes, again, strict=True):
            simple = self._simple(node, place, local_names)
            if simple is not None:
                pieces += simple
                open_step = None if simple else open_step
            elif isinstance(node, AssignNode | CaptureNode) or _is_blank(node):
                silent.append(node)
            elif words is not None:
                if words not in shared:
                    shared[words] = logic.add([node], self.new())
                pieces.append(shared[words])
                open_step = None
            else:
                if open_step is None:
                    pieces.append(logic.add([], self.new()))
                    open_step = logic.steps[-1]
                open_step.nodes.extend([*silent, node])
                silent = []
        if logic.steps:
            self.logics.append(logic)
        return _merged(pieces)

    def _simple(self, node: Node, place: str, local_names: frozenset[str]) -> Expansion | None:
        """The pieces of a node that needs no engine."""
        if isinstance(node, ContentNode):
            return (one_line(node.text) if place == "subject" else node.text,)
        if isinstance(node, _COMMENTS) or (_is_blank(node) and _is_pure(node)):
            return ()
        if not isinstance(node, OutputNode) or not isinstance(node.expression, FilteredExpression):
            return None
        left, filters = node.expression.left, node.expression.filters or []
        if isinstance(left, Literal) and not filters:
            return (text_of(left.value, "subject" if place == "subject" else "text"),)
        path = _plain_path(left)
        if path is None or path[0] in local_names:
            return None
        name = ".".join(path)
        if not filters and (own := self._own(name, place)):
            return own
        if path[0] in self.tokens or path[0] == "campaign":
            return None
        if filters and not _is_plain_default(node.expression):
            return None
        return (self._plain(path, str(filters[0]) if filters else "", node, place),)

    def _own(self, name: str, place: str) -> Expansion | None:
        if name in self.constants:
            return (text_of(self.constants[name], place),)
        if name in self.tokens:
            token = self.tokens[name]
            return (text_of(token.before, place), token.slot)
        return None

    def _plain(self, path: tuple[str, ...], default: str, node: Node, place: str) -> int:
        plain = self.plains.setdefault((path, default), Plain(path, bool(default)))
        if place not in plain.slots:
            plain.slots[place] = self.new()
            printed = _printed(node, place)
            plain.defaults[place] = one_line(printed) if place == "subject" else sendable(printed)
        return plain.slots[place]


def _plain_path(expression: object) -> tuple[str, ...] | None:
    """A variable by names only."""
    if not isinstance(expression, Path):
        return None
    names = tuple(segment for segment in expression.path if isinstance(segment, str))
    if len(names) != len(expression.path) or QUESTIONS & set(names[1:]):
        return None
    return names


def _is_plain_default(expression: FilteredExpression) -> bool:
    filters = expression.filters or []
    if len(filters) != 1 or filters[0].name != "default" or len(filters[0].args) > 1:
        return False
    named = any(getattr(argument, "name", None) for argument in filters[0].args)
    return not named and all(isinstance(child, Literal) for child in filters[0].children())


def _printed(node: Node, place: str) -> str:
    """What a node prints when its variable is missing."""
    template = BoundTemplate(environment(autoescape=place == "html"), [node])
    buffer = Buffer()
    node.render(Context(template, {}), buffer)
    return buffer.getvalue()


def _is_blank(node: Node) -> bool:
    return isinstance(node, _CHOOSING) and node.blank


def _is_pure(node: Node) -> bool:
    """Whether leaving this blank node out changes nothing that comes after it."""
    context = Context(BoundTemplate(environment(autoescape=False), []), {})
    return isinstance(node, _PURE) and all(
        _is_pure(child) for child in node.children(context, include_partials=False)
    )


def _merged(pieces: list[str | int]) -> Pieces:
    """Neighbouring static texts as one."""
    merged: list[str | int] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        elif piece != "":
            merged.append(piece)
    return tuple(merged)


def place_odd(plain: Plain, value: Any, slots: list[str]) -> None:
    """A value that is not simply printable text: missing, empty, a number, a list, two lines …"""
    # The rule of the `default` filter: it also replaces what is false or empty, but not zero.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    missing = value is None or (plain.has_default and not number and not value)
    for place, slot in plain.slots.items():
        slots[slot] = plain.defaults[place] if missing else text_of(value, place)


def run_logic(logics: list[Logic], values: dict[str, Any], slots: list[str]) -> None:
    """Let the engine fill its slots. Whatever fails in it fails this person's message only."""
    present = {name: value for name, value in values.items() if value is not None}
    clock = Clock()
    for logic in logics:
        context = Context(logic.template, present, clock)
        for nodes, slot in logic.steps:
            buffer = Buffer()
            try:
                for node in nodes:
                    node.render(context, buffer)
            except Exception as error:
                raise engine_fault(error) from error
            text = buffer.getvalue()
            slots[slot] = one_line(text) if logic.place == "subject" else sendable(text)


def engine_fault(error: Exception) -> RenderError:
    """Any failure inside the engine, whose filters raise what they like, in a person's words."""
    if isinstance(error, RenderError):
        return error
    words = error.message if isinstance(error, LiquidError) else f"{type(error).__name__}: {error}"
    return RenderError(f"template: {words}"[:300])
