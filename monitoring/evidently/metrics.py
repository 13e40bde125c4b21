# mypy: disallow-subclassing-any=false
"""Evidently's own kinds of metric and test that say what our verdict says. Import it inside functions: it loads evidently, for seconds."""

from typing import Any

from evidently.core.datasets import Dataset
from evidently.core.metric_types import (
    MetricCalculationBase,
    MetricTest,
    MetricTestResult,
    SingleValue,
    SingleValueCalculation,
    SingleValueMetric,
)
from evidently.core.report import Context
from evidently.legacy.renderers.html_widgets import CounterData, WidgetSize, counter, table_data
from evidently.legacy.tests.base_test import TestStatus

from monitoring.evidently.told import ABOUT, ANY_SEGMENT, SERIES

LARGEST, THRESHOLD = "largest surprise", "threshold"
HEADS = ("detector", "segment", "what moved", "value", "expected", "surprise", "outcome")


class VerdictTest(MetricTest):
    """A test whose outcome our verdict has decided. `status` is a TestStatus, `threshold` the surprise at which somebody is called."""

    status: str
    threshold: float

    def to_test(self) -> Any:
        """Passes, warns or fails as the verdict does, whatever the value."""

        def outcome(context: Context, metric: MetricCalculationBase[SingleValue], value: SingleValue) -> MetricTestResult:
            return MetricTestResult(
                id="vitrine_verdict",
                name=value.display_name,
                description=f"{value.value:.2f}, and somebody is called from {self.threshold:.2f} if it is large and lasts",
                metric_config=metric.to_metric_config(),
                test_config=self.dict(),
                status=TestStatus(self.status),
            )

        return outcome


class DriftSurprise(SingleValueMetric):
    """How far a detector in a segment lies from its own history: at t, a quiet shop gets as far in any series once in 10^t windows."""

    detector: str
    family: str
    segment: str


class DriftSurpriseCalculation(SingleValueCalculation[DriftSurprise]):
    """Looks the surprise up in what the report was told."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:
        """The surprise. It stands in the verdict's table, so it has no picture of its own."""
        table = context.additional_data[SERIES].as_dataframe()
        line = table[(table["detector"] == self.metric.detector) & (table["segment"] == self.metric.segment)].iloc[0]
        found = self.result(float(line["surprise"]))
        found.widget = []
        return found

    def display_name(self) -> str:
        """The detector and where it looked."""
        return f"{self.metric.detector} in {self.metric.segment}, surprise"


class DriftVerdict(SingleValueMetric):
    """The verdict of an hour, a day or a week as a number that a panel can draw: told.CODES."""

    kind: str


class DriftVerdictCalculation(SingleValueCalculation[DriftVerdict]):
    """Looks the verdict up in what the report was told."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:
        """The verdict's number; its widgets say the verdict in words, and every series of the report in a table."""
        about = context.additional_data[ABOUT].as_dataframe().iloc[0]
        series = context.additional_data[SERIES].as_dataframe()
        found = self.result(int(about["code"]))
        rows = [
            [line.detector, line.segment, line.effect, f"{line.value:.4g}", f"{line.expected:.4g}", f"{line.surprise:.2f}", line.status]
            for line in series[series["segment"] != ANY_SEGMENT].itertuples()
        ]
        found.widget = [
            counter(counters=[CounterData(str(about["reason"]), str(about["verdict"]))]),
            table_data(title="The most surprising series", column_names=HEADS, data=rows),
        ]
        return found

    def display_name(self) -> str:
        """The same for every window of the kind."""
        return f"Verdict of the {self.metric.kind}"


class DriftLevel(SingleValueMetric):
    """The largest surprise of the window, or the threshold at which somebody is called."""

    of: str


class DriftLevelCalculation(SingleValueCalculation[DriftLevel]):
    """Looks it up in what the report was told."""

    def calculate(self, context: Context, current_data: Dataset, reference_data: Dataset | None) -> SingleValue:
        """Either number."""
        about = context.additional_data[ABOUT].as_dataframe().iloc[0]
        found = self.result(float(about[self.metric.of]))
        found.widget = [counter(counters=[CounterData(self.display_name(), f"{found.value:.2f}")], size=WidgetSize.HALF)]
        return found

    def display_name(self) -> str:
        """Which of the two."""
        return str(self.metric.of).capitalize()
