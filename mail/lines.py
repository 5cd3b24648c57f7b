"""Lines of text around Liquid: what has to stand between two pieces of text, so that the result
reads well whichever way a branch goes and however often a loop turns. Knows nothing of HTML."""

from dataclasses import dataclass, field

from mail.liquid import BLOCKS

#: What has to stand between two pieces of text; the stronger wins.
NOTHING, SPACE, CELL, LINE, PARAGRAPH = range(5)
_SEPARATORS = {NOTHING: "", SPACE: " ", CELL: " | ", LINE: "\n", PARAGRAPH: "\n\n"}
_BRANCHES = frozenset({"else", "elsif", "when"})
_CHOICES = frozenset({"if", "unless", "case"})
_LOOPS = frozenset({"for", "tablerow"})


@dataclass
class _Block:
    """A Liquid block that is open."""

    name: str
    before: int  #: pending where it opens, so for each branch
    position: int  #: in `out`, an empty place before its tag
    most: int = NOTHING  #: pending at the end of any branch
    exhaustive: bool = False  #: it has an else
    touched: bool = False  #: text or a new line of its own stands in it


@dataclass
class Lines:
    """Text that grows from top to bottom."""

    out: list[str] = field(default_factory=list)
    pending: int = NOTHING
    prefix: str = ""  #: of the next text: a list's bullet
    _tail: int = NOTHING  #: what was written since the last text
    _started: bool = False
    _blocks: list[_Block] = field(default_factory=list)

    def __str__(self) -> str:
        return "".join(self.out).strip() + "\n"

    @property
    def in_loop(self) -> bool:
        """Whether what is written now may be printed several times."""
        return any(block.name in _LOOPS for block in self._blocks)

    def need(self, separator: int) -> None:
        """At least this has to stand before the next text."""
        self.pending = max(self.pending, separator)

    def own_line(self, separator: int) -> None:
        """What follows begins a line, wherever the last text stood."""
        self.need(separator)
        self._touch()

    def write(self, text: str) -> None:
        """Text, after what has to stand before it."""
        self._lift()
        self._flush()
        self.out.append(self.prefix + text)
        self._started, self.prefix, self._tail = True, "", NOTHING

    def _lift(self) -> None:
        """A branch that begins in the middle of a line gets its separator before the block, so
        that what follows the block does not need one of its own."""
        position = None
        for block in reversed(self._blocks):
            if block.touched or block.name not in _CHOICES or block.before != self.pending:
                break
            position, block.before = block.position, NOTHING
        if position is not None and self._started:
            self.out[position] = _SEPARATORS[self.pending] if self.pending > self._tail else ""
            self.pending = NOTHING
        self._touch()

    def _touch(self) -> None:
        for block in self._blocks:
            block.touched = True

    def _flush(self) -> None:
        if self._started and self.pending > self._tail:
            separator = _SEPARATORS[self.pending]
            self.out.append("\n" if self._tail == LINE else separator)
            self._tail = self.pending
        self.pending = NOTHING

    def control(self, name: str, piece: str) -> None:
        """A tag that prints nothing. Branches begin alike; a loop's turns are kept apart."""
        if name in _LOOPS or (name.startswith("end") and name[3:] in _LOOPS):
            self.pending = SPACE if self.pending == CELL else self.pending
            self._flush()
        elif name in _BRANCHES and self._blocks:
            block = self._blocks[-1]
            self._end_branch(block)
            block.most = max(block.most, self.pending)
            block.exhaustive = block.exhaustive or name == "else"
            self.pending = block.before
        if name in BLOCKS:
            self._blocks.append(_Block(name, self.pending, len(self.out)))
            self.out.append("")
        elif name.startswith("end") and self._blocks:
            self.pending = self._after(self._blocks.pop())
        self.out.append(piece)

    def _end_branch(self, block: _Block) -> None:
        """A space at the end of a branch belongs to that branch."""
        if self.pending == SPACE and block.touched:
            self._flush()

    def _after(self, block: _Block) -> int:
        """What has to stand after a block, whichever way it went."""
        if block.name in _LOOPS:
            return NOTHING
        if block.name == "capture":
            return block.before
        self._end_branch(block)
        self._tail = NOTHING
        left_out = NOTHING if block.exhaustive else block.before
        return max(block.most, self.pending, left_out)
