"""The manifests are good Kubernetes, down to the last field, and give the worker few rights."""

import copy
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import (
    BUILDS,
    KUBERNETES,
    NEWEST,
    OLDEST,
    Document,
    build,
    one,
    problems,
)

FILES = sorted(
    path
    for path in KUBERNETES.rglob("*.yaml")
    if path.name not in {"kustomization.yaml", "millstream.yaml"}
)
PATCHES = {"components/monitoring/networkpolicy.yaml", "components/secrets/worker.yaml",
           "components/secrets/topics.yaml", "overlays/production/scaledobject.yaml"}  # fmt: skip
"""They say a part of an object only; what they make is validated in the overlay."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(KUBERNETES)))
def test_every_file_is_good_kubernetes_by_itself(path: Any) -> None:
    if str(path.relative_to(KUBERNETES)) in PATCHES:
        return
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        assert problems(document, OLDEST) == []


@pytest.mark.parametrize("folder", BUILDS)
def test_what_kustomize_builds_is_good_kubernetes(folder: str) -> None:
    for document in build(folder):
        assert problems(document, NEWEST) == []


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("StatefulSet", "spec.template.spec.containers.0.livenessProbe.httpGet"),
        ("StatefulSet", "spec.template.spec.securityContext"),
        ("PodDisruptionBudget", "spec"),
        ("NetworkPolicy", "spec.egress.0"),
        ("ServiceMonitor", "spec.endpoints.0"),
        ("PrometheusRule", "spec"),
        ("ScaledObject", "spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown"),
        ("ScaledObject", "spec.triggers.0.metadata"),
        ("TriggerAuthentication", "spec.secretTargetRef.0"),
    ],
)
def test_a_field_that_there_is_not_would_be_found(kind: str, path: str) -> None:
    document = copy.deepcopy(one(build("overlays/production"), kind))
    inner: Any = document
    for name in path.split("."):
        inner = inner[int(name) if name.isdigit() else name]
    inner["colour"] = "blue"
    assert problems(document, NEWEST) != []


def pods(documents: list[Document]) -> list[Document]:
    """The specifications of all pods that are described."""
    return [
        each["spec"]["template"]["spec"] for each in documents if "template" in each.get("spec", {})
    ]


@pytest.mark.parametrize("folder", BUILDS)
def test_every_pod_meets_the_restricted_pod_security_standard(folder: str) -> None:
    described = pods(build(folder))
    assert described
    for pod in described:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        allowed = {"configMap", "secret", "emptyDir"}
        assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "hostPort" not in str(container.get("ports"))


@pytest.mark.parametrize("folder", BUILDS)
def test_no_pod_holds_a_token_of_the_cluster(folder: str) -> None:
    for pod in pods(build(folder)):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False


@pytest.mark.parametrize("folder", BUILDS)
def test_every_selector_finds_the_workers_and_no_other_pod(folder: str) -> None:
    documents = build(folder)
    labels = one(documents, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    others = [
        each["spec"]["template"]["metadata"]["labels"]
        for each in documents
        if each["kind"] == "Job"
    ]
    selectors = [
        one(documents, "StatefulSet")["spec"]["selector"]["matchLabels"],
        one(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(documents, "Service")["spec"]["selector"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not any(selector.items() <= other.items() for other in others)


@pytest.mark.parametrize("folder", BUILDS)
def test_the_network_policy_denies_what_it_does_not_name_to_every_pod(folder: str) -> None:
    documents = build(folder)
    policy = one(documents, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    for each in documents:
        if "template" in each.get("spec", {}):
            labels = each["spec"]["template"]["metadata"]["labels"]
            assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert all(rule["ports"] for rule in policy["egress"])
    assert all(rule["from"] and rule["ports"] for rule in policy["ingress"])
    assert bool(policy["ingress"]) == (folder == "overlays/production")
