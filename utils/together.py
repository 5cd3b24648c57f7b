"""Group commit: whoever arrives while work is under way shares the next round of it, so that many
small calls cost hardly more than one."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class _Call(Generic[T]):
    """What one caller brought, and what became of it."""

    def __init__(self, things: Sequence[T]) -> None:
        self.things = things
        self.done = False
        self.error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        self.done, self.error = True, error


class Together(Generic[T]):
    """Does work for several threads at once, in the order of their calls."""

    def __init__(
        self, work: Callable[[list[T]], object], most: int,
        common: tuple[type[Exception], ...] = (),
    ) -> None:  # fmt: skip
        """`work` does all of its things or, when it raises, none. `most` things go into a round,
        unless a single call brings more. What raises is done again call by call, so that one spoils
        it for nobody else; not so for errors of `common`, which would strike each of them again."""
        self._work = work
        self._most = most
        self._common = common
        self._waiting: list[_Call[T]] = []
        self._changing = threading.Lock()
        self._working = threading.Lock()

    def __call__(self, things: Sequence[T]) -> None:
        """Return once they are done; raise what `work` raised about them."""
        mine = _Call(things)
        with self._changing:
            self._waiting.append(mine)
        while not mine.done:
            with self._working:  # whoever was inside may have taken ours along
                if not mine.done:
                    self._round(self._next())
        if mine.error is not None:
            raise mine.error

    def _next(self) -> list[_Call[T]]:
        with self._changing:
            count = total = 0
            for call in self._waiting:
                total += len(call.things)
                if count and total > self._most:
                    break
                count += 1
            calls, self._waiting = self._waiting[:count], self._waiting[count:]
        return calls

    def _round(self, calls: Sequence[_Call[T]]) -> None:
        try:
            self._work([thing for call in calls for thing in call.things])
        except self._common as error:
            _end(calls, error)
        except Exception as error:  # noqa: BLE001 -- each caller raises its own
            if len(calls) > 1:
                for call in calls:
                    self._round([call])
            else:
                _end(calls, error)
        except BaseException:  # this thread ends; nobody may wait for it
            _end(calls, RuntimeError("the thread that worked for several ended"))
            raise
        else:
            _end(calls)


def _end(calls: Sequence[_Call[T]], error: Exception | None = None) -> None:
    for call in calls:
        call.end(error)
