# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Inspect a minikube profile: its state, and its configuration drift."""

import json
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import Run

from .commands import MachineError, at_once, no_engine
from .version import refuse_present, refuse_wanted

# Name of the marker file, which is removed with the profile. Its content is `begun` before the profile is created, so
# that an interrupted creation is detected, and `made` once the cluster answers. The content of a complete profile is
# `complete` with a hash of what the role installs in it.
MARK_FILE = "cloud-django"


def inspect_minikube(run: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a profile. Raises MachineError if it must not be changed or has no container engine."""
    name, home = options["name"], options["home"]
    if not home.startswith("/"):
        raise MachineError(
            f"cluster_minikube_home {home}",
            "is a relative path",
            "Set cluster_minikube_home to an absolute path, then rerun the playbook",
        )
    folder = profile_folder(home, name)
    program = next(filter(None, map(shutil.which, options["programs"])), None)
    mark, config = read_mark(folder), read_config(folder, name, options["state"])
    calls = {"containers": partial(has_containers, run, options["driver"], name)}
    if config is not None and program:
        calls["status"] = partial(status, run, [*environment(options), program, "--profile", name])
    if options["driver"] == "docker" and (config is None or mark == ["begun"]):
        calls["capacity"] = partial(capacity, run)
    found = at_once(calls)
    refuse(options, mark, config, found["containers"], program)
    state = state_of(mark, config, found.get("status", []), options["content"])
    if options["state"] == "present":
        refuse_old(options, state, config or {})
    differences = [] if state in ("missing", "incomplete") else list(drift(config or {}, options["settings"]))
    return {
        "installed": program is not None,
        "program": program or options["programs"][-1],
        "managed": mark is not None,
        "folder": str(folder),
        "state": state,
        "drift": differences,
        "kubeconfig": True,
        "capacity": found.get("capacity", {}),
        "settled": state == "complete" and not differences,
    }


def profile_folder(home: str, name: str) -> Path:
    """Return the directory of a profile."""
    folder = Path(home)
    return (folder if folder.name == ".minikube" else folder / ".minikube") / "profiles" / name


def environment(options: Mapping[str, Any]) -> list[str]:
    """Return the beginning of a command, which sets minikube's environment."""
    # Without KUBECONFIG, minikube would change the user's default kubeconfig.
    return ["env", f"MINIKUBE_HOME={options['home']}", f"KUBECONFIG={options['kubeconfig']}", "MINIKUBE_IN_STYLE=false"]


def read_mark(folder: Path) -> list[str] | None:
    """Return the words of the marker. None for a profile that is not managed by the role."""
    try:
        return (folder / MARK_FILE).read_text(encoding="utf-8").split()
    except UnicodeDecodeError:
        # A managed profile on a damaged disk is completed again. As an interrupted one, it would lose its data.
        return ["unreadable"]
    except OSError:
        return None


def read_config(folder: Path, name: str, state: str) -> dict[str, Any] | None:
    """Return minikube's configuration of a profile. None without a profile. Empty if unreadable before a removal."""
    try:
        text = (folder / "config.json").read_text(encoding="utf-8")
        config = json.loads(text) if text else None
        if config is None or isinstance(config, dict):
            return config
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        pass
    if state == "absent":
        return {}
    raise MachineError(
        f"minikube profile {name}",
        f"cannot be started, but may still have data: its file {folder / 'config.json'} cannot be read",
        "Restore the file, or remove the profile with `make down`, then rerun the playbook",
    )


def has_containers(run: Run, driver: str, name: str) -> bool:
    """Return whether a profile has nodes. Raises MachineError if the container engine docker does not answer.

    minikube treats the nodes of another MINIKUBE_HOME as its own abandoned nodes, and removes them.
    """
    if driver not in ("docker", "podman"):
        return False
    listing = ["container", "ls", "--all", "--quiet", f"--filter=label=name.minikube.sigs.k8s.io={name}"]
    code, output, error = run([driver, *listing])
    if code and driver == "docker":
        raise no_engine(error, f"cluster {name} cannot be inspected")
    return not code and bool(output.strip())


def status(run: Run, command: list[str]) -> list[dict[str, Any]]:
    """Return the entry of each node in `minikube status`. Empty if its output is plain text."""
    _, output, _ = run([*command, "status", "--output=json"])
    try:
        found = json.loads(output)
    except ValueError:
        return []
    return [node for node in (found if isinstance(found, list) else [found]) if isinstance(node, dict)]


def capacity(run: Run) -> dict[str, int]:
    """Return memory in bytes and processors of the container engine. Zeros if they are unknown."""
    code, output, _ = run(["docker", "info", "--format={{ .MemTotal }} {{ .NCPU }}"])
    numbers = [int(word) for word in output.split() if word.isdecimal()]
    return {"memory": numbers[0], "cpus": numbers[1]} if not code and len(numbers) == 2 else {"memory": 0, "cpus": 0}


def refuse(
    options: Mapping[str, Any],
    mark: list[str] | None,
    config: dict[str, Any] | None,
    containers: bool,
    program: str | None,
) -> None:
    """Raise MachineError for a profile that the role must not, or cannot, start or remove."""
    name = options["name"]
    is_foreign = mark is None and (config is not None or containers)
    if options["state"] == "absent":
        if is_foreign:
            raise MachineError(
                f"minikube profile {name}",
                "was not created by this role and is not removed",
                f"Set another cluster_name, or remove the profile with `minikube delete --profile {name}`, "
                "then rerun the playbook",
            )
        if mark is not None and not program:
            raise MachineError(
                f"minikube profile {name}",
                f"cannot be removed: none of {', '.join(options['programs'])} is installed",
                "Add minikube to PATH, or set cluster_minikube_binary, then rerun the playbook",
            )
        return
    if is_foreign:
        elsewhere = "" if config is not None else " in another MINIKUBE_HOME"
        raise MachineError(
            f"minikube profile {name}",
            f"already exists{elsewhere} and was not created by this role",
            "Set another cluster_name, or deploy to the cluster with cluster_provider existing, "
            "then rerun the playbook",
        )
    # minikube would search for the container for minutes. A profile with another driver has no container.
    drivers = {options["driver"], (config or {}).get("Driver") or options["driver"]}
    if mark not in (None, ["begun"]) and config is not None and drivers == {"docker"} and not containers:
        raise MachineError(
            f"minikube profile {name}",
            "cannot be started: its container was removed, for example by `docker container prune`",
            "Remove the profile and its data with `make down`, then rerun the playbook",
        )
    if mark not in (None, ["begun"]) and config is None:
        raise MachineError(
            f"minikube profile {name}",
            "cannot be started, but may still have data: its file config.json is missing",
            "Restore the file, or remove the profile with `make down`, then rerun the playbook",
        )


def refuse_old(options: Mapping[str, Any], state: str, config: Mapping[str, Any]) -> None:
    """Raise MachineError for a profile with a version that is too low, before its creation if the version is set."""
    setting = "cluster_kubernetes_version"
    if state in ("missing", "incomplete"):
        wanted = str(options["settings"][setting])
        refuse_wanted(options, setting, wanted, wanted)
    else:
        refuse_present(options, setting, kubernetes_version(config))


def state_of(mark: list[str] | None, config: dict[str, Any] | None, nodes: list[dict[str, Any]], content: str) -> str:
    """Return the state of a profile. `restarted` means that only some of its nodes run."""
    if mark == ["begun"]:
        return "incomplete"
    if config is None:
        return "missing"
    if not is_running(nodes):
        return "restarted" if any(node.get("Host") == "Running" for node in nodes) else "stopped"
    return "complete" if mark == ["complete", content] else "ready"


def is_running(nodes: list[dict[str, Any]]) -> bool:
    """Return whether all nodes run, and those of the control plane answer."""
    return bool(nodes) and all(
        node.get("Host") == node.get("Kubelet") == "Running"
        and (node.get("Worker") or (node.get("APIServer") == "Running" and node.get("Kubeconfig") == "Configured"))
        for node in nodes
    )


def kubernetes_version(config: Mapping[str, Any]) -> str:
    """Return the Kubernetes version of a profile, for example v1.36.3. Empty if it is unknown."""
    return str((config.get("KubernetesConfig") or {}).get("KubernetesVersion", ""))


def drift(config: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """Yield how a profile differs from the variables that it is created from, as readable clauses."""
    kubernetes = config.get("KubernetesConfig") or {}
    version = kubernetes_version(config)
    addons = {name for name, enabled in (config.get("Addons") or {}).items() if enabled}
    present = {
        "cluster_driver": config.get("Driver"),
        "cluster_container_runtime": kubernetes.get("ContainerRuntime"),
        "cluster_kubernetes_version": version,
        "cluster_cpus": config.get("CPUs"),
        "cluster_memory": config.get("Memory"),
        "cluster_disk_size": config.get("DiskSize"),
        "cluster_workers": len(config.get("Nodes") or []) - 1,
        "cluster_node_image": config.get("KicBaseImage"),
        "cluster_cni": kubernetes.get("CNI"),
        "cluster_addons": ", ".join(sorted(addons & set(wanted["cluster_addons"]))) or "none of them",
    }
    # minikube stores these values in another spelling than its options have.
    spelled = dict(wanted) | {
        "cluster_container_runtime": str(wanted["cluster_container_runtime"]).replace("cri-o", "crio"),
        "cluster_addons": ", ".join(sorted(wanted["cluster_addons"])),
    }
    given = str(wanted["cluster_kubernetes_version"]).removeprefix("v")
    if f"{version}.".startswith(f"v{given}."):
        spelled["cluster_kubernetes_version"] = version
    for name, has in present.items():
        if str(spelled[name]) not in ("", str(has), "stable", "latest"):
            yield f"{name} is {spelled[name]}, but the profile has {has}"
