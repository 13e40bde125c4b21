"""The section `monitor:` of params.yaml, joined from what each part of the monitoring takes."""

from pydantic import Field

from components.contract import Config
from monitoring.action import ActionConfig
from monitoring.detectors.config import DetectorsConfig
from monitoring.due import CheckConfig
from monitoring.judging.config import VerdictConfig
from monitoring.metrics import RoutesConfig
from monitoring.probing.config import ProbingConfig
from monitoring.rehearsal.config import RehearsalConfig, RehearseConfig
from monitoring.report.config import ReportConfig
from monitoring.windows.config import WindowsConfig


class BudgetConfig(Config):
    """What the on-call engineer is asked to bear: false pages, which set every threshold."""

    max_false_pages_per_quarter: float = Field(gt=0)


class MonitorConfig(Config):
    """Everything that the monitoring is told. `store` is the gateway's: where predictions and events lie."""

    budget: BudgetConfig
    check: CheckConfig
    routes: RoutesConfig
    action: ActionConfig
    detectors: DetectorsConfig
    probing: ProbingConfig
    windows: WindowsConfig
    rehearsal: RehearsalConfig
    rehearse: RehearseConfig
    report: ReportConfig
    verdict: VerdictConfig
