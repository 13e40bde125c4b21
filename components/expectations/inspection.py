"""Suites run over the tables that are there, types first: where those are wrong nothing else can be computed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from great_expectations.data_context.data_context.abstract_data_context import AbstractDataContext

from components.expectations.findings import Finding
from components.expectations.gate import Advice, types_gate
from components.expectations.suites import Suite, run_suites
from components.expectations.tables import types_of

Tables = Mapping[str, Path]


@dataclass(frozen=True)
class Part:
    """Suites that can be built where the tables `needs` are there; built when their turn comes, so that one part is in memory at a time."""

    needs: tuple[str, ...]
    suites: Callable[[], Iterable[Suite]]


def inspect(
    there: Tables, schemas: Mapping[str, pa.Schema], types: Advice, parts: Sequence[Part], context: AbstractDataContext
) -> tuple[list[Finding], bool]:
    """The findings on the tables that are there, and whether their types were right: if not, there are no other findings."""
    typed = [Suite(n, "types", types_of(there[n], kind), [types_gate(types)], "column") for n, kind in schemas.items() if n in there]
    findings = run_suites(typed, context)
    readable = not any(finding.stops for finding in findings)
    for part in parts:
        if readable and all(name in there for name in part.needs):
            findings += run_suites(part.suites(), context)
    return findings, readable
