"""A gate: one expectation with what it measures, and what a person needs to know when it fails."""

from collections.abc import Iterable
from dataclasses import dataclass

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation


@dataclass(frozen=True)
class Advice:
    """For whoever meets a failed gate: its section of docs/runbook.md, what usually causes it, and what to do first."""

    anchor: str
    cause: str
    next_step: str


@dataclass(frozen=True)
class Gate:
    """One rule of a suite. `measure` says what the observed number is.

    A gate with a text in `unchecked` is reported with that reason and does not decide.
    """

    name: str
    expectation: Expectation
    measure: str
    advice: Advice
    unchecked: str = ""


def by_anchor(advice: Iterable[Advice]) -> dict[str, Advice]:
    """The pieces of advice, each under its anchor."""
    return {one.anchor: one for one in advice}


def between(column: str, low: float | None, high: float | None, mostly: float = 1.0) -> Expectation:
    """Every value lies in [low, high], None being no limit; nulls are not looked at."""
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, mostly=mostly)


def one_of(column: str, values: list[str] | list[bool] | list[int], mostly: float = 1.0) -> Expectation:
    """Every value is one of these."""
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values, mostly=mostly)


def matching(column: str, pattern: str) -> Expectation:
    """Every value matches the regular expression from its start."""
    return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=pattern)


def mean_between(column: str, low: float | None, high: float | None) -> Expectation:
    """The column's mean lies in [low, high]; nulls are not counted."""
    return gxe.ExpectColumnMeanToBeBetween(column=column, min_value=low, max_value=high)


def types_gate(advice: Advice) -> Gate:
    """Over one row a column: each column is there, with its type, and no other."""
    types = gxe.ExpectColumnPairValuesToBeEqual(column_A="found", column_B="expected", ignore_row_if="neither")
    return Gate("types", types, "share of columns with another type than components/schema.py gives", advice)
