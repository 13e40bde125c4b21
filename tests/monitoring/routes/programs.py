"""Prometheus, Alertmanager and what metrics reach it through, as real programs on loopback, each ended with its block."""

import datetime as dt
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from monitoring.judged import Judgement
from monitoring.metrics import Outcome, RoutesConfig, gauges_of, publish
from monitoring.span import Span, week_of
from tests.conftest import PROJECT, system_program
from tests.monitoring.verdicts import FIRST

RULES = PROJECT / "monitoring" / "rules" / "drift.yml"
ROUTES = PROJECT / "monitoring" / "alertmanager" / "alertmanager.yml"
RUNBOOK = "https://shop.example/runbook.md"
LIMIT_S = 60.0


def routes(**changes: Any) -> RoutesConfig:
    """A config that leads nowhere, with changes."""
    nowhere = {"textfile": None, "pushgateway": None, "alertmanager": "http://127.0.0.1:9"}
    return RoutesConfig(**nowhere | {"pages_url": "", "max_segments": 10, "timeout_s": 10.0} | changes)


def outcome(judgement: Judgement, num_same: int = 1, **changes: Any) -> Outcome:
    """A check that was done just now, as if its window had ended today."""
    facts = {"page": f"reports/drift/{judgement.span.name}.html", "needed_days": 28, "finished_at": dt.datetime.now(dt.UTC)}
    return Outcome(judgement=judgement, num_same=num_same, **facts | changes)


def tell(judgement: Judgement, cfg: RoutesConfig, **changes: Any) -> None:
    """Publishes a check of that judgement."""
    publish(gauges_of(outcome(judgement, **changes), cfg, RUNBOOK), judgement.span.kind, cfg)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def running(folder: Path, command: list[str], url: str) -> Iterator[str]:
    """The program's address, once it says that it is ready; its output is in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "output.txt", "wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    try:
        until(lambda: _answers(f"{url}/-/ready") or _answers(f"{url}/metrics"), lambda: (folder / "output.txt").read_text())
        yield url
    finally:
        process.kill()  # it has nothing to keep
        process.wait(LIMIT_S)


def until(holds: Callable[[], Any], what: Callable[[], str]) -> Any:
    """What `holds` gives, once it gives anything."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := holds()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)
    return found


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


@contextmanager
def collector(folder: Path, textfile: Path) -> Iterator[str]:
    """node_exporter with nothing but its textfile collector."""
    port = free_port()
    options = ["--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={textfile}"]
    command = [system_program("prometheus-node-exporter"), *options, f"--web.listen-address=127.0.0.1:{port}"]
    with running(folder, command, f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def pushgateway(folder: Path) -> Iterator[str]:
    """A Pushgateway that keeps what it is pushed in memory."""
    port = free_port()
    command = [system_program("prometheus-pushgateway"), f"--web.listen-address=127.0.0.1:{port}"]
    with running(folder, command, f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def alertmanager(folder: Path, hook: str) -> Iterator[str]:
    """Alertmanager with the project's routes, groups and inhibitions; it waits for a second where they wait for minutes, and every receiver
    is the address `hook`, with its own name appended."""
    config = yaml.safe_load(ROUTES.read_text())
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    hooks = [{"url": f"{hook}/{one['name']}", "send_resolved": True} for one in config["receivers"]]
    config["receivers"] = [{"name": one["name"], "webhook_configs": [where]} for one, where in zip(config["receivers"], hooks, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    options = [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--storage.path=data", "--config.file=config.yml"]
    with running(folder, [system_program("prometheus-alertmanager"), *options], f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def prometheus(folder: Path, scraped: str, alerts_to: str) -> Iterator[str]:
    """Prometheus with the project's rules, which here take effect at once."""
    rules = yaml.safe_load(RULES.read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule["for"] = "0s"
    config = {
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"},
        "rule_files": ["rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerts_to.removeprefix("http://")]}]}]},
        "scrape_configs": [{"job_name": "drift", "honor_labels": True, "static_configs": [{"targets": [scraped.removeprefix("http://")]}]}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"rules.yml": rules, "prometheus.yml": config}.items():
        (folder / name).write_text(yaml.safe_dump(content))
    port = free_port()
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address=127.0.0.1:{port}"]
    with running(folder, [system_program("prometheus"), *options], f"http://127.0.0.1:{port}") as url:
        yield url


def week() -> Span:
    """The week of the days that tests judge."""
    return week_of(FIRST)


def post_alert(url: str, alert: dict[str, Any]) -> None:
    """Gives Alertmanager an alert, as Prometheus would."""
    httpx.post(f"{url}/api/v2/alerts", json=[alert]).raise_for_status()


def silence(url: str, label: str, value: str) -> None:
    """Silences alerts with the label for an hour."""
    now = dt.datetime.now(dt.UTC)
    matcher = {"name": label, "value": value, "isRegex": False, "isEqual": True}
    ends = (now + dt.timedelta(hours=1)).isoformat()
    said = {"matchers": [matcher], "startsAt": now.isoformat(), "endsAt": ends, "createdBy": "test", "comment": "test"}
    httpx.post(f"{url}/api/v2/silences", json=said).raise_for_status()
