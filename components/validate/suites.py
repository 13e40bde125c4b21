"""Gates put to Great Expectations: suites in, findings and Data Docs out. Nothing is sent anywhere."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationValidationResult
from great_expectations.data_context.data_context.abstract_data_context import AbstractDataContext
from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

from components.validate.findings import Finding
from components.validate.gates import Gate

SITE = "validation"
SHOWN_ROWS = 3


@dataclass(frozen=True)
class Suite:
    """Gates over one batch. Suites of one table share its `table`; `key` is the column that names a row in messages."""

    table: str
    part: str
    batch: pd.DataFrame
    gates: list[Gate]
    key: str | None = None

    @property
    def name(self) -> str:
        """Unique among suites, as Data Docs show it."""
        return f"{self.table}_{self.part}" if self.part else self.table


def open_context(data_docs: Path) -> AbstractDataContext:
    """A context in memory, without usage statistics and progress bars, whose Data Docs will lie in the empty folder `data_docs`."""
    shutil.rmtree(data_docs, ignore_errors=True)
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        analytics_enabled=False,
        progress_bars={"globally": False, "metric_calculations": False},  # type: ignore[arg-type]  # read as a mapping
        data_docs_sites={SITE: _site(data_docs)},
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
    shown = {"result_format": "SUMMARY", "partial_unexpected_count": SHOWN_ROWS}
    if suite.key:
        shown["unexpected_index_column_names"] = [suite.key]
    outcome = definition.run(batch_parameters={"dataframe": suite.batch}, result_format=shown)
    configs = [result.expectation_config or ExpectationConfiguration("", {}) for result in outcome.results]
    by_gate = {config.meta["gate"]: (config, result) for config, result in zip(configs, outcome.results, strict=True)}
    return [finding_of(suite, gate, *by_gate[number]) for number, gate in enumerate(suite.gates)]


def finding_of(suite: Suite, gate: Gate, config: ExpectationConfiguration, result: ExpectationValidationResult) -> Finding:
    """The result as a number within limits: the share of rows at fault for rules on rows, else the value that was observed."""
    found = result.result
    observed, low, high = found.get("observed_value"), config.kwargs.get("min_value"), config.kwargs.get("max_value")
    if "element_count" in found:
        observed, low, high = (found["unexpected_percent"] or 0) / 100, None, 1 - config.kwargs.get("mostly", 1.0)
    return Finding(
        suite.table,
        gate,
        bool(result.success),
        None if observed is None or pd.isna(observed) else float(observed),
        low,
        high,
        tuple(dict.fromkeys(str(row[suite.key]) for row in found.get("partial_unexpected_index_list") or () if suite.key in row)),
        "" if result.success else _problem(result.exception_info),
    )


def _problem(info: Any) -> str:
    raised = [info] if "exception_message" in info else list(info.values())
    return "; ".join(sorted({str(one["exception_message"]) for one in raised if one["exception_message"]})) or "no rows to compute it from"


def write_data_docs(context: AbstractDataContext) -> None:
    """Writes the suites and results as static HTML. It carries the time of the run and links to a CDN, so it is no out of the stage."""
    context.build_data_docs(site_names=[SITE])
