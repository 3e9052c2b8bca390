"""Parts of a deployed site that depend on the cluster: settings in pods and Jobs, and URLs by type of the Service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ApiError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import balancer
from support import the_cluster
from support_security import EXPANDABLE, NAMESPACE, Site


def test_jobs_and_web_pods_get_the_same_value(site: Site) -> None:
    """Kubernetes expands the environment of the Job, but not the ConfigMap of the web pods."""
    assert site.in_pod("printenv", "TEST_EXPANDABLE").out == f"{EXPANDABLE}\n"
    [job] = site.pods("migrations")
    path = site.where.path("Pod", job["metadata"]["name"]) + "/log"
    log = site.where.dynamic.request("get", path, serialize=False).data.decode()
    assert f"JOB {EXPANDABLE} {EXPANDABLE}" in log.splitlines()


def test_url_of_a_cluster_ip_is_a_port_forward(site: Site) -> None:
    ended = site.record.play("url.yml", web_service_type="ClusterIP")
    assert ended.code == 0, ended.output
    assert "Site: http://127.0.0.1:8080 while this command runs: kubectl --kubeconfig " in ended.unfolded
    assert f"--namespace {NAMESPACE} port-forward service/polls-web 8080:80" in ended.unfolded
    assert [port["port"] for port in site.where.get("Service", "polls-web")["spec"]["ports"]] == [80]


@pytest.fixture
def balanced(site: Site) -> Iterator[str]:
    """Return the path of a Service that no load balancer controller manages."""
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    metadata = {"name": "other-web", "namespace": NAMESPACE}
    site.where.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    yield site.where.path("Service", "other-web")
    site.where.delete("Service", "other-web")


def test_url_of_a_load_balancer_is_its_address(site: Site, balanced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not the_cluster().nodes():
        pytest.skip("other clusters may have a load balancer controller")
    # Instead of half a minute.
    monkeypatch.setattr(balancer, "SILENCE", 1.0)
    options = {"namespace": NAMESPACE, "name": "other-web", "timeout": 60}
    with pytest.raises(ApiError) as caught:
        balancer.run(options, False, site.where)
    assert str(caught.value) == (
        "Service other-web has no load balancer address after 1 s: no controller manages it. Install a load balancer "
        "controller, or set web_service_type to NodePort, or app_public_url to the address, then rerun the playbook."
    )
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}}}
    site.where.request("patch", f"{balanced}/status", body=status, content_type="application/merge-patch+json")
    assert balancer.run(options, False, site.where) == {"address": "192.0.2.10"}
    ended = site.record.play("url.yml", app_name="other", web_service_type="LoadBalancer")
    assert ended.code == 0, ended.output
    assert "Site: http://192.0.2.10" in ended.unfolded
