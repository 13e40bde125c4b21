"""The gates over whatever tables are there, at a terminal: nothing is written, nothing is trained, no DVC stage runs."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from great_expectations.data_context.data_context.abstract_data_context import AbstractDataContext
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.contract import Contract, bind, contract_of, path_of, read_params
from components.expectations.examples import example_rows
from components.expectations.findings import Finding
from components.expectations.page import verdict
from components.expectations.suites import open_context
from components.expectations.wording import number

STAGES = ("validate", "validate_training", "validate_vectors")
COLOURS = {"passed": "green", "failed": "bold red", "not checked": "yellow"}
MAX_VALUE_CHARS = 80


def show(explain: bool, console: Console | None = None) -> bool:
    """Prints every gate, and with `explain` the rows behind each that failed. True where none failed."""
    console = console or Console()
    params, context = read_params(), open_context(None)
    findings: list[Finding] = []
    for stage in STAGES:
        contract = contract_of(stage)
        there = {name: path for name in contract.ins if (path := path_of(name, params)).exists()}
        found = inspected(contract, there, params, context)
        tell_missing(console, contract, there, params)
        if found:
            console.print(table_of(stage, found))
        findings += found
    failed = [finding for finding in findings if finding.stops]
    for finding in failed if explain else ():
        explained(console, finding)
    console.print(closing(findings, failed, explain))
    return not failed


def inspected(contract: Contract, there: Mapping[str, Path], params: Mapping[str, Any], context: AbstractDataContext) -> list[Finding]:
    """The stage's findings on the tables that are there, in the order of its suites."""
    module = importlib.import_module(contract.function.__module__)
    found: list[Finding] = module.inspected(there, bind(contract.sections[contract.name], contract.name, params), context)
    return found


def tell_missing(console: Console, contract: Contract, there: Mapping[str, Path], params: Mapping[str, Any]) -> None:
    """Names the stage's inputs that are not there, so that a gate that is not shown is not taken for one that passed."""
    if missing := [f"{name} ({path_of(name, params)})" for name in contract.ins if name not in there]:
        console.print(f"{contract.name}: not there yet: {', '.join(missing)}. `dvc repro {contract.name}` makes them.", highlight=False)


def table_of(stage: str, findings: Sequence[Finding]) -> Table:
    """The findings, a row a gate, in the order of their tables."""
    table = Table(title=stage, title_justify="left", header_style="dim", box=None, pad_edge=False)
    for name in ("gate", "observed", "limit", "verdict", ""):
        table.add_column(name, justify="right" if name == "observed" else "left", no_wrap=bool(name), style="" if name else "dim")
    for finding in sorted(findings, key=lambda one: [f.suite for f in findings].index(one.suite)):
        said = verdict(finding)
        table.add_row(finding.name, number(finding.observed), finding.limit, f"[{COLOURS[said]}]{said}[/]", escape(finding.gate.unchecked))
    return table


def explained(console: Console, finding: Finding) -> None:
    """Prints what a failed gate found: five rows as they stand in their table, what usually causes it, and where to read on."""
    found = f"not to be computed: {finding.problem}" if finding.observed is None else number(finding.observed)
    console.print(f"\n[bold red]{finding.name}[/]: {escape(finding.gate.measure)}: {escape(found)}, limit {finding.limit}", highlight=False)
    rows = example_rows(finding)
    for place, row in enumerate(rows, start=1):
        values = "  ".join(f"[cyan]{escape(name)}[/]={escape(_shown(value))}" for name, value in row.items())
        console.print(f"  {place}. {values}", highlight=False)
    if not rows:
        console.print("  There is no row to show: the fault lies in what is missing.", highlight=False)
    advice = finding.gate.advice
    console.print(f"  Usual cause: {advice.cause}\n  {advice.next_step}\n  See {finding.link}.", highlight=False, markup=False)


def _shown(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[: MAX_VALUE_CHARS - 1]}…"


def closing(findings: Sequence[Finding], failed: Sequence[Finding], explain: bool) -> str:
    """The last line."""
    if not findings:
        return "There is nothing to look at yet: `make demo` or `dvc repro` makes the tables."
    unchecked = sum(not finding.checked for finding in findings)
    rest = f"{unchecked} of {len(findings)} were not checked" if unchecked else f"{len(findings)} were checked"
    if not failed:
        return f"\n[green]Every gate that decides has passed[/]; {rest}."
    return f"\n[bold red]{len(failed)} gates failed[/]; {rest}." + ("" if explain else " Rows and causes: `vitrine validate --explain`.")
