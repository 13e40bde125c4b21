"""A CSV as records. A bad line costs itself only: it comes back with its fault, and reading goes on at the next line."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_CELL_CHARS = 2**31 - 1


@dataclass(frozen=True)
class Record:
    """One row's cells, or the text of a line that could not be split into cells and why."""

    line: int
    cells: tuple[str, ...]
    text: str = ""
    fault: str = ""


class _Lines:
    """Lines that can be handed back, so that a quote left open swallows one line and not the rest of the file."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._ahead: deque[str] = deque()
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else next(self._lines)
        self.taken.append(line)
        return line

    def accept(self, count: int) -> int:
        """The number, from 1, of the first line taken; the first `count` lines are done with and the others will come again."""
        first = self.number + 1
        self._ahead.extendleft(reversed(self.taken[count:]))
        self.number += count
        self.taken = []
        return first


def records(lines: Iterable[str]) -> Iterator[Record]:
    """Every row in order, blank lines left out. The first gives the width: a row with more or fewer cells carries a fault."""
    csv.field_size_limit(MAX_CELL_CHARS)
    source, width = _Lines(lines), 0
    reader = csv.reader(source, strict=True)
    while True:
        try:
            cells = tuple(next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            text = source.taken[0]
            yield Record(source.accept(1), (), text, str(error))
            continue
        text = "".join(source.taken)
        line = source.accept(len(source.taken))
        if cells:
            width = width or len(cells)
            yield Record(line, cells) if len(cells) == width else Record(line, (), text, _odd_width(len(cells), width, text))


def _odd_width(count: int, width: int, text: str) -> str:
    cut = count < width and not text.endswith(("\n", "\r"))
    return f"{count} cells, the header has {width}" + ("; the file ends in the middle of this row: was it copied whole?" if cut else "")
