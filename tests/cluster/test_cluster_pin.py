"""Ways to reach another cluster than the one of an inventory, each tried with a real other cluster."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import PROJECT, Cluster, Ended, docker, run_play, run_playbook, the_cluster, user_environment

INVENTORY = PROJECT / os.environ.get("TEST_INVENTORY", "inventory/mirrors")
OTHER = "cloud-django-test-other"
OTHER_NODE = f"{OTHER}-control-plane"
NAMESPACE = "test-pin-ways"
CONTEXT = "production"
KINDS = (
    "namespaces,configmaps,secrets,serviceaccounts,services,persistentvolumeclaims,deployments,statefulsets,jobs,"
    "networkpolicies,poddisruptionbudgets,resourcequotas,limitranges,roles,rolebindings,clusterroles,"
    "clusterrolebindings"
)
SITE = ("playbooks/site.yml",)
SERVICE_ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"


def playbook(
    inventory: Path, *arguments: str, environment: dict[str, str] | None = None, prefix: tuple[str, ...] = ()
) -> Ended:
    """Run a playbook of the project as a user does."""
    mine = user_environment() | (environment or {})
    return run_playbook(PROJECT, [f"--inventory={inventory}", *arguments], mine, prefix, limit=400)


def entry(path: Path, context: str) -> dict[str, Any]:
    """Return a kubeconfig with the given context, renamed like the one of the production cluster."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    names = next(item["context"] for item in document["contexts"] if item["name"] == context)
    cluster = next(item["cluster"] for item in document["clusters"] if item["name"] == names["cluster"])
    user = next(item["user"] for item in document["users"] if item["name"] == names["user"])
    return kubeconfig(CONTEXT, cluster, user)


def kubeconfig(context: str, cluster: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": user}],
    }


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return a kubeconfig that merges two others."""
    both = copy.deepcopy(one)
    for part in ("contexts", "clusters", "users"):
        both[part] += other[part]
    return both


def renamed(document: dict[str, Any], context: str) -> dict[str, Any]:
    return kubeconfig(context, document["clusters"][0]["cluster"], document["users"][0]["user"])


@dataclass
class Place:
    """Inventory of one cluster, and a kubeconfig that may lead to another one."""

    folder: Path
    mine: dict[str, Any]
    other: dict[str, Any]
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    @property
    def inventory(self) -> Path:
        return self.folder / "my inventory é"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kube config é"

    @property
    def pin(self) -> Path:
        return self.inventory / "group_vars" / "all" / "pin.yml"

    def set(self, **variables: str) -> None:
        path = self.inventory / "group_vars" / "all" / "zz_test.yml"
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        path.write_text(json.dumps(known | variables), encoding="utf-8")

    def write(self, document: dict[str, Any], name: str = "") -> Path:
        path = self.folder / name if name else self.kubeconfig
        path.write_text(json.dumps(document), encoding="utf-8")
        path.chmod(0o600)
        return path

    def run(self, *arguments: str) -> Ended:
        return playbook(self.inventory, *arguments, *self.arguments, environment=self.environment, prefix=self.prefix)


def kubectl(*arguments: str) -> str:
    """Run kubectl in the other cluster, from its own node."""
    return docker("exec", OTHER_NODE, "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", *arguments)


def content() -> set[tuple[str, str, str, str]]:
    """Return the objects of the other cluster."""
    items = json.loads(kubectl("get", KINDS, "--all-namespaces", "--output=json"))["items"]
    return {
        (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"], item["metadata"]["uid"])
        for item in items
    }


def other_cluster(folder: Path, *arguments: str) -> Ended:
    variables = {
        "cluster_provider": "kind",
        "cluster_name": OTHER,
        "cluster_state_directory": str(folder),
        "cluster_metrics_server": False,
        "cluster_kubeconfig": str(folder / OTHER / "kubeconfig"),
        "cluster_context": f"kind-{OTHER}",
    }
    return playbook(INVENTORY, f"--extra-vars={json.dumps(variables)}", *arguments)


DOWN = ("playbooks/teardown.yml", "--extra-vars=teardown_data=purge teardown_cluster=true")


@dataclass(frozen=True)
class Other:
    """Another cluster, and the UID of a former one with the same name and address."""

    folder: Path
    kubeconfig: dict[str, Any]
    former_uid: str
    server: str


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Other]:
    folder = tmp_path_factory.mktemp("other")
    try:
        for arguments in (DOWN, (*SITE, "--tags=cluster")):
            ended = other_cluster(folder, *arguments)
            assert ended.code == 0, ended.output
        # Credentials for a pod in the other cluster.
        kubectl("create", "serviceaccount", "runner")
        kubectl(
            "create", "clusterrolebinding", "runner", "--clusterrole=cluster-admin", "--serviceaccount=default:runner"
        )
        document = entry(folder / OTHER / "kubeconfig", f"kind-{OTHER}")
        # The scenario cluster shows that a recreated cluster has another UID.
        yield Other(folder, document, str(uuid.uuid4()), document["clusters"][0]["cluster"]["server"])
    finally:
        ended = other_cluster(folder, *DOWN)
        assert ended.code == 0, ended.output


@pytest.fixture(scope="module")
def mine() -> Cluster:
    return the_cluster()


def unpinned(folder: Path, mine: Cluster, other: Other) -> Place:
    """Return an inventory of the test cluster without a pin."""
    made = Place(folder, entry(mine.kubeconfig, mine.context), other.kubeconfig)
    shutil.copytree(INVENTORY, made.inventory)
    made.set(
        app_namespace=NAMESPACE,
        cluster_provider="existing",
        cluster_kubeconfig=str(made.kubeconfig),
        cluster_context=CONTEXT,
        cluster_state_directory=str(folder / "state"),
        image_context=str(PROJECT),
        image_kind_cluster=mine.context.removeprefix("kind-"),
    )
    made.write(made.mine)
    return made


@pytest.fixture(scope="module")
def pin(tmp_path_factory: pytest.TempPathFactory, mine: Cluster, other: Other) -> str:
    """Return the pin that `make pin` writes for the test cluster."""
    made = unpinned(tmp_path_factory.mktemp("pin"), mine, other)
    pinned = made.run("playbooks/pin.yml")
    assert pinned.code == 0, pinned.output
    return made.pin.read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path, mine: Cluster, other: Other, pin: str) -> Place:
    """Return an inventory that is pinned to the test cluster."""
    made = unpinned(tmp_path, mine, other)
    made.pin.write_text(pin, encoding="utf-8")
    return made


def context_renamed(place: Place) -> None:
    place.write(place.other)


def kubeconfig_swapped(place: Place) -> None:
    place.write(renamed(place.other, "somewhere"))


def server_changed(place: Place) -> None:
    document = copy.deepcopy(place.mine)
    document["clusters"][0]["cluster"]["server"] = place.other["clusters"][0]["cluster"]["server"]
    place.write(document)


def server_changed_without_verification(place: Place) -> None:
    cluster = {"server": place.other["clusters"][0]["cluster"]["server"], "insecure-skip-tls-verify": True}
    place.write(kubeconfig(CONTEXT, cluster, place.other["users"][0]["user"]))


def context_of_a_merged_file(place: Place) -> None:
    place.write(merged(place.mine, renamed(place.other, "somewhere")))
    place.arguments = ["--extra-vars=cluster_context=somewhere"]


def current_context_of_a_merged_file(place: Place) -> None:
    place.write(merged(place.mine, renamed(place.other, "somewhere")) | {"current-context": "somewhere"})
    place.arguments = ["--extra-vars=cluster_context="]


def link_to_another_file(place: Place) -> None:
    place.write(place.other, "other")
    place.kubeconfig.unlink()
    place.kubeconfig.symlink_to(place.folder / "other")


def list_of_files(place: Place) -> None:
    both = f"{place.write(place.other, 'other')}{os.pathsep}{place.kubeconfig}"
    place.arguments = [f"--extra-vars={json.dumps({'cluster_kubeconfig': both})}"]


def kubeconfig_in_the_environment(place: Place) -> None:
    place.environment = {"KUBECONFIG": str(place.write(place.other, "other"))}
    place.kubeconfig.unlink()


def connection_in_the_environment(place: Place) -> None:
    path = place.write(renamed(place.other, "somewhere"), "other")
    place.environment = {"K8S_AUTH_KUBECONFIG": str(path), "K8S_AUTH_CONTEXT": "somewhere"}
    place.arguments = [f"--extra-vars={json.dumps({'cluster_kubeconfig': '', 'cluster_context': ''})}"]


def server_in_the_environment(place: Place) -> None:
    place.environment = {"K8S_AUTH_HOST": place.other["clusters"][0]["cluster"]["server"]}


def credentials_in_the_environment(place: Place) -> None:
    place.environment = {"K8S_AUTH_API_KEY": kubectl("create", "token", "runner").strip()}


def credentials_of_a_pod(place: Place) -> None:
    """Simulate Ansible in a pod of the other cluster, with its service account at the usual path."""
    address = docker(
        "container", "inspect", "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", OTHER_NODE
    )
    place.environment = {"KUBERNETES_SERVICE_HOST": address.strip(), "KUBERNETES_SERVICE_PORT": "6443"}
    (place.folder / "token").write_text(kubectl("create", "token", "runner").strip(), encoding="utf-8")
    (place.folder / "ca.crt").write_text(
        docker("exec", OTHER_NODE, "cat", "/etc/kubernetes/pki/ca.crt"), encoding="utf-8"
    )
    mount = f'mkdir -p {SERVICE_ACCOUNT} && mount --bind "$0" {SERVICE_ACCOUNT} && exec "$@"'
    place.prefix = ("unshare", "--mount", "sh", "-c", mount, str(place.folder))
    place.arguments = [f"--extra-vars={json.dumps({'cluster_kubeconfig': '', 'cluster_context': ''})}"]


# The way, and the expected message.
WAYS = [
    (context_renamed, "leads to"),
    (kubeconfig_swapped, "has no context production: its contexts are somewhere"),
    (server_changed, "leads to"),
    (server_changed_without_verification, "leads to"),
    (context_of_a_merged_file, "leads to"),
    (current_context_of_a_merged_file, "has no context"),
    (link_to_another_file, "leads to"),
    (list_of_files, "does not exist"),
    (kubeconfig_in_the_environment, "does not exist"),
    (connection_in_the_environment, "cluster_kubeconfig is empty"),
    (server_in_the_environment, "K8S_AUTH_HOST in the environment would lead to another server"),
    (credentials_in_the_environment, "K8S_AUTH_API_KEY in the environment would lead to another server"),
    (credentials_of_a_pod, "cluster_kubeconfig is empty"),
]


@pytest.mark.parametrize(("way", "words"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_a_run_never_changes_another_cluster(way: Callable[[Place], None], words: str, place: Place) -> None:
    before = content()
    way(place)
    ended = place.run(*SITE)
    assert ended.code != 0, ended.output
    assert words in ended.output.replace("\n", " "), ended.output
    assert "changed=0 " in ended.output
    assert "Traceback" not in ended.output
    assert content() == before


COMMANDS = {
    "one tag": (*SITE, "--tags=web"),
    "without the cluster": (*SITE, "--skip-tags=cluster"),
    "a later start": (*SITE, "--tags=namespace", "--start-at-task=Apply namespace, ResourceQuota, and LimitRange"),
    "scale": ("playbooks/scale.yml", "--extra-vars=web_replicas=1"),
    "teardown": ("playbooks/teardown.yml", "--extra-vars=teardown_data=purge teardown_cluster=false"),
    "account": ("playbooks/deploy_account.yml",),
    "pin": ("playbooks/pin.yml",),
    "password": ("playbooks/password.yml",),
    "url": ("playbooks/url.yml",),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_each_command_fails_on_another_cluster(command: tuple[str, ...], place: Place) -> None:
    before = content()
    context_renamed(place)
    ended = place.run(*command)
    assert ended.code != 0, ended.output
    assert "leads to" in ended.output
    assert "changed=0 " in ended.output
    assert content() == before


def test_recreated_cluster_is_another_cluster(place: Place, other: Other) -> None:
    before = content()
    place.write(place.other)
    place.arguments = [f"--extra-vars={json.dumps({'cluster_server': other.server, 'cluster_uid': other.former_uid})}"]
    ended = place.run(*SITE)
    assert ended.code != 0, ended.output
    assert f"cluster_uid is pinned to {other.former_uid}" in ended.output.replace("\n", " ")
    assert content() == before


def test_recreated_kind_cluster_is_another_cluster(other: Other) -> None:
    before = content()
    ended = other_cluster(
        other.folder,
        *SITE,
        "--tags=cluster,namespace",
        f"--extra-vars=cluster_uid={other.former_uid}",
        f"--extra-vars=app_namespace={NAMESPACE}",
    )
    assert ended.code != 0, ended.output
    assert f"cluster_uid is pinned to {other.former_uid}" in ended.output.replace("\n", " ")
    assert content() == before


def test_kind_cluster_is_checked_before_any_change(other: Other) -> None:
    before = content()
    wrong = ("--extra-vars=cluster_uid=another", '--extra-vars={"cluster_metrics_server": true}')
    ended = other_cluster(other.folder, *SITE, "--tags=cluster", *wrong)
    assert ended.code != 0, ended.output
    assert "changed=0 " in ended.output
    assert "cluster_uid is pinned to another" in ended.output.replace("\n", " ")
    assert content() == before


def test_no_cluster_is_created_or_removed_if_another_is_pinned(other: Other) -> None:
    before = content()
    for arguments in (DOWN, (*SITE, "--tags=cluster", "--extra-vars=cluster_name=cloud-django-test-never")):
        ended = other_cluster(other.folder, *arguments, "--extra-vars=cluster_uid=another")
        assert ended.code != 0, ended.output
        assert "changed=0 " in ended.output
        assert "pinned to" in ended.output
    assert content() == before


def test_run_without_the_pin_reaches_the_other_cluster(place: Place) -> None:
    """Without the pin, the other cluster is changed. Otherwise the tests above would prove nothing."""
    context_renamed(place)
    place.pin.unlink()
    ended = place.run(*SITE, "--tags=namespace", "--check")
    assert ended.code == 0, ended.output
    assert "changed=1 " in ended.output


def test_a_second_pin_changes_nothing(place: Place) -> None:
    ended = place.run("playbooks/pin.yml")
    assert ended.code == 0, ended.output
    assert "changed=0 " in ended.output


def test_pin_is_replaced_on_request(place: Place) -> None:
    context_renamed(place)
    ended = place.run("playbooks/pin.yml", "--extra-vars=cluster_pin_replace=true")
    assert ended.code == 0, ended.output
    pinned = yaml.safe_load(place.pin.read_text(encoding="utf-8"))
    assert pinned["cluster_server"] == place.other["clusters"][0]["cluster"]["server"]


def without_pin(place: Place, user: dict[str, Any] | None = None, **cluster: str) -> str:
    """Return the message of a run without a pin, with a faulty kubeconfig of the test cluster."""
    place.pin.unlink()
    known = place.mine["clusters"][0]["cluster"] | cluster
    place.write(kubeconfig(CONTEXT, known, user or place.mine["users"][0]["user"]))
    ended = place.run(*SITE)
    assert ended.code != 0, ended.output
    assert "changed=0 " in ended.output
    assert "Traceback" not in ended.output
    return " ".join(ended.output.split())


def test_unreachable_server_is_reported(place: Place) -> None:
    words = without_pin(place, server="https://127.0.0.1:1")
    assert re.search(r"The Kubernetes API of context production of .* cannot be reached: Connection refused\.", words)


def test_invalid_token_is_reported(place: Place) -> None:
    words = without_pin(place, user={"token": "expired"})
    assert re.search(r"The Kubernetes API refuses the credentials of context production of .*\. Renew them", words)


def test_expired_client_certificate_is_reported(place: Place, mine: Cluster) -> None:
    nodes = mine.nodes()
    if not nodes:
        pytest.skip("only a node on this machine has the authority that signs clients")
    folder = place.folder / "authority"
    folder.mkdir()
    for name in ("ca.crt", "ca.key"):
        docker("cp", f"{nodes[0]}:/etc/kubernetes/pki/{name}", str(folder))
    (folder / "index").touch()
    (folder / "serial").write_text("01\n", encoding="utf-8")
    (folder / "configuration").write_text(
        "[ca]\ndefault_ca=any\n[any]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any_policy\n"
        "unique_subject=no\nx509_extensions=client\n[any_policy]\norganizationName=optional\ncommonName=supplied\n"
        "[client]\nextendedKeyUsage=clientAuth\n",
        encoding="utf-8",
    )
    for arguments in (
        "req -newkey rsa:2048 -nodes -subj /O=system:masters/CN=old -keyout key.pem -out request.pem",
        "ca -batch -notext -config configuration -cert ca.crt -keyfile ca.key -in request.pem -out certificate.pem "
        "-startdate 20200101000000Z -enddate 20200201000000Z",
    ):
        subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True, timeout=60)
    files = {"client-certificate": str(folder / "certificate.pem"), "client-key": str(folder / "key.pem")}
    assert re.search(r"refuses the credentials of context production of .*\. Renew them", without_pin(place, files))


def test_namespace_with_unreadable_content_is_kept(tmp_path: Path, mine: Cluster) -> None:
    """The user may remove the namespace, but not list its ConfigMaps, one of which has another manager."""
    nodes = mine.nodes()
    if not nodes:
        pytest.skip("the user is made on a node on this machine")
    name = "test-pin-hidden"

    def administrate(*arguments: str) -> str:
        return docker("exec", nodes[0], "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", *arguments).strip()

    def tidy() -> None:
        for kind in ("namespace", "clusterrolebinding", "clusterrole"):
            administrate("delete", kind, name, "--ignore-not-found")

    tidy()
    try:
        administrate("create", "namespace", name)
        administrate("label", "namespace", name, "app.kubernetes.io/managed-by=cloud-django")
        administrate("create", "serviceaccount", "default-tester", f"--namespace={name}")
        administrate("create", "configmap", "somebody-else", f"--namespace={name}")
        administrate("create", "clusterrole", name, "--verb=get,delete", "--resource=namespaces")
        subject = f"--serviceaccount={name}:default-tester"
        administrate("create", "clusterrolebinding", name, f"--clusterrole={name}", subject)
        token = administrate("create", "token", "default-tester", f"--namespace={name}")
        cluster = entry(mine.kubeconfig, mine.context)["clusters"][0]["cluster"]
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(kubeconfig(CONTEXT, cluster, {"token": token})), encoding="utf-8")
        connection = {"kubeconfig": str(path), "context": CONTEXT}
        role = {"name": "cloud_django.kubernetes.namespace"}
        play = {
            "module_defaults": {"group/cloud_django.kubernetes.k8s": connection},
            "vars": {"app_name": "polls", "namespace_name": name, "namespace_state": "absent"},
            "tasks": [{"ansible.builtin.include_role": role}],
        }
        ended = run_play(tmp_path, play)
        assert ended.code == 0, ended.output
        assert f"Kept namespace {name}, because it may have objects that the user is not allowed to" in ended.output
        assert "changed=0 " in ended.output
        assert administrate("get", "configmap", "somebody-else", f"--namespace={name}", "--output=name")
    finally:
        tidy()
