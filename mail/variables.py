"""Which variables a template uses, and which it cannot do without, decided on its syntax tree."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from inspect import signature
from typing import Any, NamedTuple

from liquid import BoundTemplate
from liquid.ast import ConditionalBlockNode, Node
from liquid.builtin.expressions import (
    BooleanExpression,
    FilteredExpression,
    Path,
)  # fmt: skip
from liquid.builtin.expressions.arguments import PositionalArgument
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    LogicalAndExpression,
    LogicalOrExpression,
)
from liquid.builtin.expressions.loop import LoopExpression
from liquid.builtin.expressions.primitive import IntegerLiteral, RangeLiteral
from liquid.builtin.tags.cycle_tag import CycleNode
from liquid.builtin.tags.for_tag import BreakNode, ContinueNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.expression import Expression

from mail.budget import CYCLE_LIMIT, LOOP_LIMIT
from mail.liquid import Problem
from mail.people import NEVER_MISSING, OWN_URLS

#: What `campaign.` offers.
CAMPAIGN_FIELDS = ("id", "name", "subject", "from_email", "from_name")
#: Segments that ask something of a value instead of naming a part of it.
QUESTIONS = frozenset({"size", "first", "last"})
#: An author who assigned these could take the way out from everybody.
_RESERVED = OWN_URLS | {"campaign", "_tracking_token"}


class Use(NamedTuple):
    """A variable at one place of a template."""

    name: str  #: dotted
    part: str
    line: int
    excused: bool

    @property
    def required(self) -> bool:
        """Whether a person without this variable cannot get the message."""
        return not self.excused and self.name.partition(".")[0] not in NEVER_MISSING


class Analysis(NamedTuple):
    """What the syntax tree of one part says."""

    uses: tuple[Use, ...]
    local_names: frozenset[str]  #: made by the template itself: assign, capture, loops
    problems: tuple[Problem, ...]


def name_of(path: Path) -> str:
    """A path as the dotted name that can be missing: up to the first index or question."""
    names: list[str] = []
    for segment in path.path:
        if not isinstance(segment, str) or (names and segment in QUESTIONS):
            break
        names.append(segment)
    return ".".join(names)


def analyse(template: BoundTemplate, source: str, part: str) -> Analysis:
    """Walk the tree once, in document order."""
    walk = _Walk(template, source, part)
    for node in template.nodes:
        walk.visit(node, frozenset(), frozenset(), in_loop=False)
    local_names = frozenset(walk.local_names | walk.assigned)
    return Analysis(tuple(walk.uses), local_names, tuple(walk.problems))


class _Walk:
    def __init__(self, template: BoundTemplate, source: str, part: str) -> None:
        self.part = part
        self.line_ends = [found.start() for found in re.finditer("\n", source)]
        self.filters = template.env.filters
        self.context = template.context_class(template)
        self.uses: list[Use] = []
        self.problems: list[Problem] = []
        self.local_names: set[str] = set()
        self.assigned: set[str] = set()

    def visit(
        self, node: Node, excused: frozenset[str], scope: frozenset[str], *, in_loop: bool
    ) -> None:
        if isinstance(node, BreakNode | ContinueNode) and not in_loop:
            self.problem(node.token.start_index, f"{node.token.value} outside a loop")
        if isinstance(node, CycleNode) and len(node.args) > CYCLE_LIMIT:
            self.problem(node.token.start_index, f"a cycle of more than {CYCLE_LIMIT}")
        excused = self.excuses(node, excused)
        for expression in node.expressions():
            self.expression(expression, excused, scope)
        self.assigned.update(map(str, node.template_scope()))
        block = frozenset(map(str, node.block_scope()))
        self.local_names |= block
        for name in (block | frozenset(map(str, node.template_scope()))) & _RESERVED:
            self.problem(node.token.start_index, f"'{name}' is ours and cannot be assigned")
        in_loop = in_loop or bool(block)
        for child in node.children(self.context, include_partials=False):
            if isinstance(child, ConditionalBlockNode):  # an elsif excuses itself and what follows
                excused |= _bare_tests(child.expression)
            self.visit(child, excused, scope | block, in_loop=in_loop)

    @staticmethod
    def excuses(node: Node, excused: frozenset[str]) -> frozenset[str]:
        if isinstance(node, IfNode | UnlessNode):
            return excused | _bare_tests(node.condition)
        return excused

    def expression(
        self, expression: Expression, excused: frozenset[str], scope: frozenset[str]
    ) -> None:
        if isinstance(expression, FilteredExpression):
            self.filtered(expression, excused, scope)
            return
        if isinstance(expression, Path):
            self.path(expression, excused, scope, defaulted=False)
        if isinstance(expression, RangeLiteral):
            self.range(expression, in_loop=False)
        if isinstance(expression, ContainsExpression) and isinstance(expression.left, RangeLiteral):
            self.problem(expression.token.start_index, "a range contains: compare with < and >")
        if isinstance(expression, LoopExpression) and isinstance(expression.iterable, RangeLiteral):
            counted = not expression.reversed and expression.offset is None
            self.range(expression.iterable, in_loop=counted)
            children: Iterable[Expression] = [
                *expression.iterable.children(),
                *(c for c in expression.children() if c is not expression.iterable),
            ]
        else:
            children = expression.children()
        for child in children:
            self.expression(child, excused, scope)

    def filtered(
        self, expression: FilteredExpression, excused: frozenset[str], scope: frozenset[str]
    ) -> None:
        filters = expression.filters or []
        for item in filters:
            if trouble := self.filter_trouble(item):
                self.problem(item.token.start_index, trouble)
        defaulted = bool(filters) and filters[0].name == "default"
        if isinstance(expression.left, Path):
            self.path(expression.left, excused, scope, defaulted=defaulted)
            inner: Iterator[Expression] = iter(expression.left.children())
        else:
            inner = iter([expression.left])
        for child in inner:
            self.expression(child, excused, scope)
        for item in filters:
            for argument in item.children():
                self.expression(argument, excused, scope)

    def filter_trouble(self, item: Filter) -> str:
        """What would fail for everybody."""
        if item.name not in self.filters:
            return f"unknown filter '{item.name}'"
        given = [a for a in item.args if isinstance(a, PositionalArgument)]
        least, most = _arguments(self.filters[item.name])
        if least <= len(given) <= most:
            return ""
        takes = f"{least} to {most}" if least < most else f"{most}"
        return f"'{item.name}' takes {takes} arguments after a colon, not {len(given)}"

    def path(
        self, path: Path, excused: frozenset[str], scope: frozenset[str], *, defaulted: bool
    ) -> None:
        name = name_of(path)
        root = name.partition(".")[0]
        if not name or root in scope or root in self.assigned:
            return
        line = self.line(path.token.start_index)
        if root == "campaign" and path.path[1:2] not in [[field] for field in CAMPAIGN_FIELDS]:
            self.problem(
                path.token.start_index, f"{path}: campaign has {', '.join(CAMPAIGN_FIELDS)}"
            )
        self.uses.append(Use(name, self.part, line, defaulted or name in excused))

    def range(self, literal: RangeLiteral, *, in_loop: bool) -> None:
        """Only a loop may count to a variable: its turns are limited, a filter's work is not, nor
        what a loop would count and leave out."""
        ends = (literal.start, literal.stop)
        first, last = (end.value if isinstance(end, IntegerLiteral) else None for end in ends)
        if first is not None and last is not None:
            if last - first >= LOOP_LIMIT:
                self.problem(literal.token.start_index, f"a range of more than {LOOP_LIMIT}")
        elif not in_loop:
            words = "a range with a variable end, outside a for, or with reversed or offset"
            self.problem(literal.token.start_index, words)

    def problem(self, position: int, message: str) -> None:
        self.problems.append(Problem(self.part, self.line(position), message))

    def line(self, position: int) -> int:
        return bisect_left(self.line_ends, position) + 1


@cache
def _arguments(function: Callable[..., Any]) -> tuple[int, int]:
    """The fewest and the most arguments that a filter takes after a colon."""
    parameters = list(signature(function).parameters.values())[1:]
    placed = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    return sum(p.default is p.empty for p in placed), len(placed)


def _bare_tests(condition: Expression) -> frozenset[str]:
    """The names that a condition tests for themselves, joined by and / or."""
    if isinstance(condition, BooleanExpression):
        return _bare_tests(condition.expression)
    if isinstance(condition, LogicalAndExpression | LogicalOrExpression):
        return _bare_tests(condition.left) | _bare_tests(condition.right)
    return frozenset({name_of(condition)}) if isinstance(condition, Path) else frozenset()
