"""What a graph's file says of how it may be run."""

import mmap
from pathlib import Path

RUN_TIME_SCALES = (b"DynamicQuantizeLinear", b"DynamicQuantizeMatMul", b"DynamicQuantizeLSTM")


def one_row_at_a_time(graph: Path) -> bool:
    """True where the graph finds int8 scales at run time, over all rows of a batch: a row's answer would depend on the others.

    `export` makes no such graph (docs/adr/0003). Node types stand in the file as they are, so nothing needs to be parsed.
    """
    with open(graph, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(name) >= 0 for name in RUN_TIME_SCALES)
