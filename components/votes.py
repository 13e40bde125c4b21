"""What a judge's labels say of a pair once both orders were asked."""

from dataclasses import dataclass

import pyarrow as pa

WINNER = {"first": 0, "second": 1}


@dataclass(frozen=True)
class Vote:
    """A pair on which both orders agree: `better` has the better photo."""

    better: str
    worse: str
    clicked: str
    split: str


def agreed_votes(labels: pa.Table) -> list[Vote]:
    """One vote for each pair whose two orders name the same winner, sorted; ties, refusals and contradictions give none.

    A judge that prefers the first place, whatever stands there, contradicts itself and so has no say.
    """
    winners: dict[tuple[str, str], list[tuple[str | None, str, str]]] = {}
    columns = ["first_item", "second_item", "choice", "clicked_item", "split"]
    for first, second, choice, clicked, side in zip(*(labels[c].to_pylist() for c in columns), strict=True):
        winner = (first, second)[WINNER[choice]] if choice in WINNER else None
        winners.setdefault((min(first, second), max(first, second)), []).append((winner, clicked, side))
    return [
        Vote(str(said[0][0]), pair[1] if said[0][0] == pair[0] else pair[0], said[0][1], said[0][2])
        for pair, said in sorted(winners.items())
        if len(said) == 2 and said[0][0] is not None and said[0][0] == said[1][0]
    ]
