"""A node port of another Service is refused before the first change, with the name of that Service."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.template import Templar, trust_as_template
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError, ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import node_ports
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.reconcile import Run
from test_reconcile import OWNER, Memory, Obj, managed, manifest, namespace

PLANNED = {"namespace": "polls", "service": "polls-web", "type": "NodePort", "number": 30037}
SENTENCE = (
    "Node port 30037 for Service polls-web is used by Service shop-web in namespace shop. "
    "Set web_node_port to a free port, for instance 30039, then rerun the playbook."
)


class Counting(Memory):
    """A cluster that records each list of Services, which it can refuse, and each dry run of a Service."""

    may_list = True
    allocated = False

    def list(self, kind: str, api_version: str = "", namespace: str | None = None, **selectors: Any) -> list[Obj]:
        if kind != "Service":
            return super().list(kind, api_version, namespace, **selectors)
        assert namespace == "", "of all namespaces"
        self.written.append("list Services")
        if not self.may_list:
            raise ApiError("The Services", "may not be listed", "", 403)
        return [item for item in self.held.values() if item["kind"] == "Service"]

    def create(self, manifest: Any) -> Obj:
        if manifest["kind"] == "Service":
            assert self.dry_run, "nothing is created"
            self.written.append("dry run")
            if self.allocated:
                raise ApiError("The Service", "Invalid value: 30037: provided port is already allocated", "", 422)
        return super().create(manifest)


def service(name: str, place: str, *ports: int, **spec: Any) -> Obj:
    return manifest("Service", name, namespace=place, spec={"ports": [{"nodePort": port} for port in ports]} | spec)


def apply(cluster: Counting, *objects: Obj, planned: Any = None) -> dict[str, Any]:
    params = {"unwanted": [], "leave_foreign": [], "prune": [], "generate": {}, "secret_values": {}}
    params |= {"compose": {}, "sources": {}, "required": []}
    params |= {"objects": list(objects), "owner": OWNER, "configuration_hash": False, "timeout": 0, "wait": True}
    guard = functools.partial(node_ports.refuse_taken, planned)
    return Run(cluster, params, lambda obj: True, lambda job: False, guards=[guard]).present()


OTHERS = (service("shop-web", "shop", 30037), service("health", "shop", healthCheckNodePort=30038))
SITE = service("polls-web", "polls", 30037)
SETTINGS = manifest("ConfigMap", "settings", namespace="polls", data={"A": "1"})


def test_a_port_of_another_service_is_refused_before_the_first_change() -> None:
    cluster = Counting(namespace(), *OTHERS)
    with pytest.raises(ManifestError) as caught:
        apply(cluster, SETTINGS, SITE)
    assert str(caught.value) == SENTENCE
    assert cluster.written == ["list Services"]


def test_a_new_site_is_refused_before_its_namespace_exists() -> None:
    cluster = Counting(*OTHERS)
    with pytest.raises(ManifestError) as caught:
        apply(cluster, namespace(), planned=PLANNED)
    assert str(caught.value) == SENTENCE
    assert cluster.written == ["list Services"]


@pytest.mark.parametrize("change", [{"type": "ClusterIP"}, {"number": 0}, {"type": ""}])
def test_a_site_without_a_node_port_is_not_checked(change: dict[str, Any]) -> None:
    cluster = Counting(*OTHERS)
    apply(cluster, namespace(), planned=PLANNED | change)
    assert "list Services" not in cluster.written


def test_an_unchanged_run_sends_no_request() -> None:
    cluster = Counting(managed(namespace()), managed(SETTINGS), managed(SITE))
    apply(cluster, namespace(), planned=PLANNED)
    apply(cluster, SETTINGS, SITE, planned=PLANNED)
    assert "list Services" not in cluster.written


def api_server(ports: str) -> Obj:
    labels = {"component": "kube-apiserver"}
    words = ["kube-apiserver", *([f"--service-node-port-range={ports}"] if ports else []), "--secure-port=6443"]
    pod = manifest("Pod", "kube-apiserver-node", namespace="kube-system", spec={"containers": [{"command": words}]})
    return pod | {"metadata": pod["metadata"] | {"labels": labels}}


def test_a_port_that_the_cluster_does_not_offer_is_refused_before_the_first_change() -> None:
    cluster = Counting(api_server("31000-31100"))
    with pytest.raises(ManifestError) as caught:
        apply(cluster, namespace(), planned=PLANNED)
    assert str(caught.value) == (
        "Node port 30037 for Service polls-web is outside of the cluster's range 31000-31100. Set web_node_port to a "
        "port of this range, and web_node_port_range to 31000-31100, then rerun the playbook."
    )
    assert cluster.written == []


@pytest.mark.parametrize("ports", ["", "30000-32767", "1-65535", "30037-30037", "30000+100"])
def test_a_port_that_the_cluster_offers_or_may_offer_is_accepted(ports: str) -> None:
    cluster = Counting(api_server(ports))
    assert apply(cluster, namespace(), planned=PLANNED)["changed"]


@pytest.mark.parametrize("has_service", [True, False])
def test_a_site_that_changes_its_port_is_refused_by_the_first_task(has_service: bool) -> None:
    old = [managed(service("polls-web", "polls", 30050))] * has_service
    cluster = Counting(managed(namespace()), *OTHERS, *old)
    with pytest.raises(ManifestError) as caught:
        apply(cluster, namespace(), planned=PLANNED)
    assert str(caught.value) == SENTENCE
    assert cluster.written == ["list Services"]


def test_the_site_can_keep_its_own_port() -> None:
    cluster = Counting(managed(namespace()), managed(SITE))
    apply(cluster, SETTINGS, planned=PLANNED)
    assert cluster.written[0] == "list Services"


def test_an_existing_service_can_change_to_a_free_port() -> None:
    cluster = Counting(namespace(), *OTHERS, managed(service("polls-web", "polls", 30050)))
    apply(cluster, service("polls-web", "polls", 30040))
    with pytest.raises(ManifestError, match="Node port 30038 for Service polls-web is used by Service health"):
        apply(cluster, service("polls-web", "polls", 30038))


@pytest.mark.parametrize("allocated", [True, False])
def test_a_dry_run_checks_the_port_for_a_user_who_may_not_list_services(allocated: bool) -> None:
    cluster = Counting(namespace())
    cluster.may_list, cluster.allocated = False, allocated
    if not allocated:
        assert apply(cluster, SITE)["changed"]
        return
    with pytest.raises(
        ManifestError, match=r"is used by a Service that this user may not list\. Set web_node_port to a"
    ):
        apply(cluster, SITE)
    assert [entry for entry in cluster.written if entry.startswith("apply")] == []


def test_no_port_is_proposed_outside_of_the_default_range() -> None:
    cluster = Counting(namespace(), service("shop-web", "shop", 8080))
    with pytest.raises(ManifestError, match=r"Set web_node_port to a free port, then rerun the playbook\.$"):
        apply(cluster, service("polls-web", "polls", 8080))


def test_the_proposed_port_is_free() -> None:
    cluster = Counting(namespace(), *(service(f"s{port}", "shop", port) for port in range(30000, 30086)))
    with pytest.raises(ManifestError, match="for instance 30086,"):
        apply(cluster, service("polls-web", "polls", 30085))


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"namespace_name": "polls", "app_namespace": "polls"}, "polls"),
        # For a second namespace, while the site already has its port.
        ({"namespace_name": "extra", "app_namespace": "polls"}, "polls"),
        ({"namespace_name": "extra"}, "extra"),
    ],
)
def test_the_planned_service_is_that_of_the_site(variables: dict[str, str], place: str) -> None:
    path = Path(__file__).parents[3] / "roles/namespace/vars/main/namespace.yml"
    planned = yaml.safe_load(path.read_text(encoding="utf-8"))["__namespace_web_port"]
    assert Templar(None, variables).template(trust_as_template(planned["namespace"])) == place
