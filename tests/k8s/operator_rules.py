"""Writes the rules of monitoring/ as the Prometheus operator reads them: `python -m tests.k8s.operator_rules`."""

from tests.conftest import PROJECT

RULES = PROJECT / "monitoring/rules/drift.yml"
TARGET = PROJECT / "k8s/components/prometheus-operator/rules.yaml"
HEAD = """\
# monitoring/rules/drift.yml as the operator reads it: `python -m tests.k8s.operator_rules` writes this file, a test holds it to that one.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: vitrine-drift
  labels: {app.kubernetes.io/name: prometheus}
spec:
"""


def written(rules: str) -> str:
    """The document, with the rules' own comments."""
    lines = rules[rules.index("groups:") :].splitlines(keepends=True)
    return HEAD + "".join(f"  {line}" if line.strip() else line for line in lines)


if __name__ == "__main__":
    TARGET.write_text(written(RULES.read_text(encoding="utf-8")), encoding="utf-8")
