"""Each connection that may be made, by overlay; every other one, between any two places on any port that is listened on, may not."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.k8s.job_templates import stage_pod
from tests.k8s.networks import Place, may_talk, outside, pod, pods, policies_of
from tests.k8s.workloads import named

INGRESS = pod("ingress", "ingress-nginx")
DNS = pod("dns", "kube-system", **{"k8s-app": "kube-dns"})
STRANGER = pod("stranger", "default")
NODE_PROMETHEUS = pod("operator", "monitoring", **{"app.kubernetes.io/name": "prometheus"})
PUBLIC, METADATA, INNER = outside("public", "93.184.215.14"), outside("metadata", "169.254.169.254"), outside("inner", "10.99.1.2")
POSTGRES, API = outside("managed postgres", "10.20.0.7"), outside("api server", "10.10.0.3")
KIND_API = outside("api server", "172.18.0.2")
PORTS = (22, 25, 80, 443, 2379, 4200, 5432, 6443, 8000, 8001, 8002, 8080, 9000, 9090, 9091, 9093, 10250, 29500, 40000)

PRODUCTION = {
    ("ingress", "gateway", 8080),
    ("stage", "gateway", 8080),
    ("prometheus", "gateway", 8080),
    ("gateway", "triton", 8001),
    ("prometheus", "triton", 8002),
    ("gateway", "managed postgres", 5432),
    ("prefect", "managed postgres", 5432),
    ("worker", "prefect", 4200),
    ("stage", "prefect", 4200),
    ("worker", "api server", 443),
    ("stage", "pushgateway", 9091),
    ("prometheus", "pushgateway", 9091),
    ("prometheus", "alertmanager", 9093),
    *(("train", "train", port) for port in PORTS if port >= 1024),
    *((part, "public", 443) for part in ("gateway", "triton", "stage", "train", "alertmanager")),
}
OF_PROMETHEUS = {connection for connection in PRODUCTION if connection[0] == "prometheus"}
BY_OPERATOR = {
    ("operator", part, port) for part, port in (("gateway", 8080), ("triton", 8002), ("pushgateway", 9091), ("alertmanager", 9093))
}
NOT_HERE = {"triton", "managed postgres", "api server"}
KIND = {connection for connection in PRODUCTION if not NOT_HERE & set(connection)} | {
    ("prefect", "postgres", 5432),
    ("worker", "api server", 6443),
    *((part, "s3", 9000) for part in ("gateway", "stage", "train", "bucket")),
}
EXPECTED = {"production": PRODUCTION, "operator": (PRODUCTION - OF_PROMETHEUS) | BY_OPERATOR, "kind": KIND}


def places(documents, overlay):
    """Every pod that there can be, and whoever else could call or be called."""
    others = [INGRESS, STRANGER, NODE_PROMETHEUS, PUBLIC, METADATA, INNER, KIND_API if overlay == "kind" else API]
    ours = [*documents(overlay), *documents("train"), stage_pod("cpu")]
    return [*pods(ours), *others, *([] if overlay == "kind" else [POSTGRES])]


def connections(policies, found):
    """What may be made, leaving out connections between two places that are not ours."""
    return {
        (source.name, target.name, port)
        for source, target, port in itertools.product(found, found, PORTS)
        if "vitrine" in (source.namespace, target.namespace) and may_talk(policies, source, target, port)
    }


@pytest.mark.parametrize("overlay", list(EXPECTED))
def test_only_what_is_needed_may_be_said(documents, overlay):
    found = connections(policies_of(documents(overlay)), places(documents, overlay))
    assert found == EXPECTED[overlay]


@pytest.mark.parametrize("overlay", list(EXPECTED))
def test_every_pod_may_ask_for_names_and_nothing_else_of_the_system(documents, overlay):
    policies = policies_of(documents(overlay))
    for one in places(documents, overlay):
        if one.namespace == "vitrine":
            assert may_talk(policies, one, DNS, 53, "UDP")
            assert may_talk(policies, one, DNS, 53, "TCP")
            assert not may_talk(policies, one, pod("api", "kube-system", k8s_app="metrics-server"), 53, "UDP")
            assert not may_talk(policies, one, DNS, 8181)


@pytest.mark.parametrize("overlay", list(EXPECTED))
def test_nobody_reaches_the_metadata_service(documents, overlay):
    policies = policies_of(documents(overlay))
    assert not [
        (one.name, address, port)
        for one in places(documents, overlay)
        if one.namespace == "vitrine"
        for address in ("169.254.169.254", "169.254.170.2", "fd00:ec2::254")
        for port in (80, 443)
        if may_talk(policies, one, outside("metadata", address), port)
    ]


@pytest.mark.parametrize("overlay", list(EXPECTED))
def test_a_pod_that_nobody_thought_of_may_say_nothing_at_all(documents, overlay):
    policies = policies_of(documents(overlay))
    new = pod("new", "vitrine", app="new")
    for one in places(documents, overlay):
        assert not [port for port in PORTS if may_talk(policies, new, one, port) or may_talk(policies, one, new, port)]


@pytest.mark.parametrize(
    ("name", "change", "opened"),
    [
        ("gateway", lambda spec: spec["ingress"].append({}), ("stranger", "gateway", 25)),
        (
            "to-public-https",
            lambda spec: spec["egress"][0]["to"][0]["ipBlock"].pop("except"),
            ("stage", "metadata", 443),
        ),
        ("prefect", lambda spec: spec["ingress"][0]["from"].append({"namespaceSelector": {}}), ("stranger", "prefect", 4200)),
        ("worker", lambda spec: spec.update(egress=[{}]), ("worker", "inner", 22)),
        ("to-postgres", lambda spec: spec.update(podSelector={}), ("stage", "managed postgres", 5432)),
    ],
)
def test_a_policy_that_is_opened_is_seen(documents, name, change, opened):
    copy = [dict(one, spec=_deep(one["spec"])) for one in policies_of(documents("production"))]
    change(named(copy, "NetworkPolicy", name)["spec"])
    found = connections(copy, places(documents, "production"))
    assert opened in found - PRODUCTION


def test_without_the_policy_that_denies_all_a_new_pod_may_say_everything(documents):
    policies = [one for one in policies_of(documents("production")) if one["metadata"]["name"] not in ("deny-all", "dns")]
    assert may_talk(policies, pod("new", "vitrine", app="new"), INNER, 22)


def _deep(value):
    if isinstance(value, dict):
        return {key: _deep(one) for key, one in value.items()}
    return [_deep(one) for one in value] if isinstance(value, list) else value


LABELS = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]))
SELECTORS = LABELS.map(lambda labels: {"matchLabels": labels})
RULES = st.fixed_dictionaries(
    {"from": st.lists(SELECTORS.map(lambda one: {"podSelector": one}), max_size=2)},
    optional={"ports": st.lists(st.sampled_from([{"port": 80}, {"port": 1024, "endPort": 65535}]), min_size=1, max_size=2)},
)
POLICIES = st.lists(st.tuples(SELECTORS, st.lists(RULES, max_size=2)), max_size=3)


def made(policies):
    return [
        {"metadata": {"namespace": "vitrine"}, "spec": {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": rules}}
        for selector, rules in policies
    ]


@given(POLICIES, SELECTORS, RULES, LABELS, LABELS, st.sampled_from([80, 443, 8080]))
def test_a_rule_more_closes_nothing_that_was_open_to_a_pod_that_policies_select(policies, selector, rule, source, target, port):
    caller, called = (Place(name, "vitrine", labels) for name, labels in (("caller", source), ("called", target)))
    everyone = ({}, [])
    before = may_talk(made([everyone, *policies]), caller, called, port)
    after = may_talk(made([everyone, *policies, (selector, [rule])]), caller, called, port)
    assert after or not before
    assert not may_talk(made([everyone]), caller, called, port)
    assert may_talk([], caller, called, port)
