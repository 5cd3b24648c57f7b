"""Logic that stands in a part several times, word for word, and prints the same each time: it
needs one slot and one rendering. Newsletters repeat a condition in every cell of a table."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator

from liquid import BoundTemplate
from liquid.ast import BlockNode, ConditionalBlockNode, Node
from liquid.builtin.content import ContentNode
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.case_tag import CaseNode, MultiExpressionBlockNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode

from mail.budget import Context
from mail.liquid import BLOCKS, Kind, Span

#: Nodes that neither remember anything nor depend on what came before.
_STATELESS = (
    OutputNode,
    ContentNode,
    IfNode,
    UnlessNode,
    CaseNode,
    BlockNode,
    ConditionalBlockNode,
    MultiExpressionBlockNode,
)


def repeated(
    template: BoundTemplate, source: str, spans: tuple[Span, ...], local_names: frozenset[str]
) -> list[str | None]:
    """For each top-level node its words, if they occur again; otherwise None."""
    blocks = list(_outermost(spans))
    starts = [start for start, _ in blocks]
    words: list[str | None] = []
    for node in template.nodes:
        index = bisect_right(starts, node.token.start_index) - 1
        logic = not isinstance(node, ContentNode) and index >= 0
        words.append(source[slice(*blocks[index])] if logic else None)
    counts = Counter(words)
    return [
        text if text and counts[text] > 1 and _is_stateless(node, template, local_names) else None
        for text, node in zip(words, template.nodes, strict=True)
    ]


def _outermost(spans: tuple[Span, ...]) -> Iterator[tuple[int, int]]:
    """Where each top-level piece of Liquid begins and ends."""
    depth = begin = 0
    for span in spans:
        if not depth:
            begin = span.start
        if span.kind is Kind.TAG:
            depth += span.name in BLOCKS
            depth -= span.name.startswith("end") and span.name[3:] in BLOCKS
        if not depth:
            yield begin, span.end


def _is_stateless(node: Node, template: BoundTemplate, local_names: frozenset[str]) -> bool:
    alone = BoundTemplate(template.env, [node])
    uses = set(alone.analyze(include_partials=False).variables)
    return not uses & local_names and _all_stateless(node, Context(alone, {}))


def _all_stateless(node: Node, context: Context) -> bool:
    return isinstance(node, _STATELESS) and all(
        _all_stateless(child, context) for child in node.children(context, include_partials=False)
    )
