"""Gates put to Great Expectations: suites in, findings and Data Docs out. Nothing is sent anywhere."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import numpy as np
import pandas as pd
from great_expectations.core import ExpectationValidationResult
from great_expectations.data_context.data_context.abstract_data_context import AbstractDataContext
from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from components.expectations.findings import Finding
from components.expectations.gate import Gate

SITE = "validation"
NAMED_ROWS, KEPT_ROWS = 3, 5
POSITION = "batch_row"
MEASURED = "observed_value"
LOOKED_AT = ("column", "column_A", "column_B")  # arguments of expectations that name a column


@dataclass(frozen=True)
class Suite:
    """Gates over one batch. Suites of one table share its `table`; `key` is the column that names a row in messages.

    `source` is the folder of shards where the batch's `shard` and `row` find the whole row; without it the batch's own rows are shown.
    """

    table: str
    part: str
    batch: pd.DataFrame
    gates: list[Gate]
    key: str | None = None
    source: Path | None = None

    @property
    def name(self) -> str:
        """Unique among suites, as Data Docs show it."""
        return f"{self.table}_{self.part}" if self.part else self.table


def open_context(data_docs: Path | None) -> AbstractDataContext:
    """A context in memory, without usage statistics and progress bars, whose Data Docs will lie in the empty folder `data_docs`.

    With None there will be no Data Docs, and nothing is written.
    """
    if data_docs:
        shutil.rmtree(data_docs, ignore_errors=True)
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        analytics_enabled=False,
        progress_bars={"globally": False, "metric_calculations": False},  # type: ignore[arg-type]  # read as a mapping
        data_docs_sites={SITE: _site(data_docs)} if data_docs else {},
    )
    context = gx.get_context(project_config=config, mode="ephemeral")
    return context


def _site(data_docs: Path) -> dict[str, Any]:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(data_docs.absolute())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }


def run_suites(suites: Iterable[Suite], context: AbstractDataContext) -> list[Finding]:
    """One finding a gate, in the order of suites and gates."""
    return [finding for suite in suites for finding in _run(suite, context)]


def _run(suite: Suite, context: AbstractDataContext) -> list[Finding]:
    for number, gate in enumerate(suite.gates):
        gate.expectation.meta = {"gate": number}
        gate.expectation.notes = [gate.measure, *([f"Not checked: {gate.unchecked}"] if gate.unchecked else [])]
    rules = context.suites.add(gx.ExpectationSuite(suite.name, expectations=[gate.expectation for gate in suite.gates]))
    asset = context.data_sources.add_pandas(suite.name).add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("whole")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=suite.name, data=batch, suite=rules))
    rows = suite.batch.reset_index(drop=True).assign(**{POSITION: np.arange(len(suite.batch), dtype=np.int32)})
    shown = {"result_format": "SUMMARY", "partial_unexpected_count": KEPT_ROWS}
    shown["unexpected_index_column_names"] = [*([suite.key] if suite.key else []), POSITION]
    outcome = definition.run(batch_parameters={"dataframe": rows}, result_format=shown)
    configs = [result.expectation_config or ExpectationConfiguration("", {}) for result in outcome.results]
    by_gate = {config.meta["gate"]: (config, result) for config, result in zip(configs, outcome.results, strict=True)}
    return [finding_of(suite, gate, *by_gate[number]) for number, gate in enumerate(suite.gates)]


def finding_of(suite: Suite, gate: Gate, config: ExpectationConfiguration, result: ExpectationValidationResult) -> Finding:
    """The result as a number within limits: the share of rows at fault for rules on rows, else the value that was observed."""
    found = result.result
    observed, low, high = found.get(MEASURED), config.kwargs.get("min_value"), config.kwargs.get("max_value")
    if "element_count" in found:
        observed = (found["unexpected_percent"] or 0) / 100 if found["element_count"] else None
        low, high = None, round(1 - config.kwargs.get("mostly", 1.0), 9)
    success = bool(result.success)
    rows = () if success else rows_at_fault(suite.batch, config, found)
    return Finding(
        suite.table,
        gate,
        success,
        None if observed is None or pd.isna(observed) else float(observed),
        low,
        high,
        tuple(dict.fromkeys(str(row[suite.key]) for row in rows if suite.key in row))[:NAMED_ROWS] if "element_count" in found else (),
        "" if success else _problem(result.exception_info),
        rows,
        suite.source,
        tuple(config.kwargs[name] for name in LOOKED_AT if name in config.kwargs),
    )


def rows_at_fault(batch: pd.DataFrame, config: ExpectationConfiguration, found: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """A few rows of the batch that speak against the rule: those it names, or those at the end of the column that breaks the limit."""
    if "element_count" in found:
        places = list(dict.fromkeys(int(row[POSITION]) for row in found.get("partial_unexpected_index_list") or ()))
    elif config.kwargs.get("column") in batch and found.get(MEASURED) is not None:
        places = _extremes(batch[config.kwargs["column"]], config, float(found[MEASURED]))
    else:
        places = list(range(min(KEPT_ROWS, len(batch))))
    return tuple(batch.iloc[places[:KEPT_ROWS]].to_dict("records"))


def _extremes(column: pd.Series, config: ExpectationConfiguration, observed: float) -> list[int]:
    """Places of the column's smallest or largest values: what a minimum or maximum rests on, or what pulls a mean past its limit."""
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        return list(range(min(KEPT_ROWS, len(column))))
    high = config.kwargs.get("max_value")
    largest = "_max_" in config.type or ("_min_" not in config.type and high is not None and observed > high)
    values = column.reset_index(drop=True).astype("float64")
    return [int(place) for place in (values.nlargest(KEPT_ROWS) if largest else values.nsmallest(KEPT_ROWS)).index]


def _problem(info: Any) -> str:
    raised = [info] if "exception_message" in info else list(info.values())
    return "; ".join(sorted({str(one["exception_message"]) for one in raised if one["exception_message"]})) or "no rows to compute it from"


def write_data_docs(context: AbstractDataContext) -> None:
    """Writes the suites and results as static HTML. It carries the time of the run and links to a CDN, so it is no out of any stage."""
    context.build_data_docs(site_names=[SITE])
