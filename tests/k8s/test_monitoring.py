"""What Prometheus and Alertmanager are given in the cluster is what lies in monitoring/, and their own tools accept it."""

import subprocess

import pytest
import yaml

from tests.conftest import PROJECT, system_program
from tests.k8s import operator_rules
from tests.k8s.workloads import Workload, named, of_kind
from tests.monitoring.routes.programs import free_port, post_alert, running, until
from tests.release.webhook import webhook

RULES = PROJECT / "monitoring/rules"


def config_map(documents, prefix):
    return next(one for one in of_kind(documents, "ConfigMap") if one["metadata"]["name"].rpartition("-")[0] == prefix)["data"]


def config_folder(documents, name, folder):
    """What a pod finds in the folder of its config, secrets' files included."""
    workload = Workload(named(documents, "StatefulSet", name))
    for source in workload.volume("config")["projected"]["sources"]:
        if "secret" in source:
            texts = {item["key"]: "secret" for item in source["secret"]["items"]}
        else:
            texts = named(documents, "ConfigMap", source["configMap"]["name"])["data"]
        about = source.get("secret") or source["configMap"]
        for item in about.get("items") or [{"key": key, "path": key} for key in texts]:
            path = folder / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(texts[item["key"]])
    (mount,) = [one["mountPath"] for one in workload.spec["containers"][0]["volumeMounts"] if one["name"] == "config"]
    (flag,) = [word for word in workload.spec["containers"][0]["args"] if word.startswith("--config.file=")]
    assert flag == f"--config.file={mount}/{name.removesuffix('manager')}{'manager' if name == 'alertmanager' else ''}.yml"
    return folder, mount


def accepted(*command, cwd):
    done = subprocess.run([system_program(command[0]), *command[1:]], cwd=cwd, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_every_rule_file_is_brought_as_it_is(documents):
    files = {path.name: path.read_text() for path in RULES.glob("*.yml") if not path.name.endswith("_test.yml")}
    assert config_map(documents("production"), "prometheus-rules") == files
    assert config_map(documents("production"), "alertmanager") == {
        "alertmanager.yml": (PROJECT / "monitoring/alertmanager/alertmanager.yml").read_text()
    }


def test_promtool_accepts_prometheus_config_and_finds_its_rules(documents, tmp_path):
    folder, mount = config_folder(documents("production"), "prometheus", tmp_path)
    text = (folder / "prometheus.yml").read_text()
    assert f"{mount}/rules/*.yml" in text
    (folder / "prometheus.yml").write_text(text.replace(mount, str(folder)))
    assert "6 rules found" in accepted("promtool", "check", "config", "prometheus.yml", cwd=folder)


def test_amtool_accepts_alertmanagers_config_and_its_secrets_lie_where_it_looks(documents, tmp_path):
    folder, _ = config_folder(documents("production"), "alertmanager", tmp_path)
    accepted("amtool", "check-config", "alertmanager.yml", cwd=folder)
    config = (folder / "alertmanager.yml").read_text()
    for path in (folder / "secrets").iterdir():
        assert f"secrets/{path.name}" in config


def test_who_is_on_call_hears_of_it_from_an_alertmanager_that_starts_as_the_container_does(documents, tmp_path):
    (container,) = Workload(named(documents("production"), "StatefulSet", "alertmanager")).containers
    folder, mount = config_folder(documents("production"), "alertmanager", tmp_path / "config")
    args = [word.replace(mount, str(folder)).replace("=/data", f"={tmp_path}/data") for word in container["args"]]
    image_folder = tmp_path / "image"  # where a container starts that does not say otherwise
    start = folder if container.get("workingDir") == mount else image_folder
    with webhook() as (hook, got):
        config = yaml.safe_load((folder / "alertmanager.yml").read_text())
        config["global"] = {"pagerduty_url": hook}
        config["route"]["group_wait"] = "1s"
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
        (folder / "secrets/slack_url").write_text(f"{hook}\n")
        url = f"http://127.0.0.1:{(port := free_port())}"
        command = [system_program("prometheus-alertmanager"), *args, f"--web.listen-address=127.0.0.1:{port}"]
        with running(start, command, url):
            labels = {"alertname": "VitrineDrift", "severity": "page"}
            post_alert(url, {"labels": labels, "annotations": {"summary": "Drift: darker photos"}})
            until(lambda: len(got) == 2, (start / "output.txt").read_text)
    assert "no such file" not in (start / "output.txt").read_text()
    (call,) = [one for one in got if "routing_key" in one]
    (message,) = [one for one in got if "attachments" in one]
    assert (call["routing_key"], call["payload"]["summary"]) == ("secret", "Drift: darker photos")
    assert message["attachments"][0]["title"] == "Drift: darker photos"


@pytest.mark.parametrize("overlay", ["production", "kind"])
def test_what_is_scraped_is_served(documents, overlay):
    config = yaml.safe_load(config_map(documents(overlay), "prometheus")["prometheus.yml"])
    services = {one["metadata"]["name"]: one["spec"] for one in of_kind(documents(overlay), "Service")}
    gone = {"triton-pods"} if overlay == "kind" else set()
    for job in config["scrape_configs"]:
        for found in job.get("dns_sd_configs", []):
            for name in set(found["names"]) - gone:
                assert services[name]["clusterIP"] == "None", "a name for each pod"
                assert found["port"] in [port["port"] for port in services[name]["ports"]]
        for static in job.get("static_configs", []):
            for target in static["targets"]:
                host, _, port = target.rpartition(":")
                assert host == "localhost" or int(port) in [one["port"] for one in services[host]["ports"]]
    assert next(job for job in config["scrape_configs"] if job["job_name"] == "push")["honor_labels"]


def test_the_operator_reads_the_same_rules(documents):
    assert operator_rules.TARGET.read_text() == operator_rules.written(operator_rules.RULES.read_text())
    (rule,) = of_kind(documents("operator"), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(operator_rules.RULES.read_text())


def test_the_operator_collects_from_the_same_pods(documents):
    shown = documents("operator")
    assert not [one for one in shown if one["metadata"]["name"] == "prometheus"]
    pods = [Workload(one) for one in shown if one["kind"] in ("Deployment", "StatefulSet")]
    for monitor in of_kind(shown, "PodMonitor"):
        (pod,) = [one for one in pods if monitor["spec"]["selector"]["matchLabels"].items() <= one.labels.items()]
        ports = {port["name"] for container in pod.containers for port in container.get("ports", [])}
        assert {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]} <= ports
