# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""A minikube profile on this machine: how far it is, and how it differs from its variables."""

import json
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import Run

from .commands import MachineError, at_once, no_engine
from .version import refuse_present, refuse_wanted

# `begun` before the profile is created, so that an interrupted one is known as incomplete; `made` once it answers;
# `complete`, with a hash of what the role put into it, in the end. It is removed with the profile.
MARK_FILE = "cloud-django"


def inspect_minikube(run: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of a profile. Raises MachineError if it must not be touched or has no engine."""
    name, home = options["name"], options["home"]
    if not home.startswith("/"):
        raise MachineError(
            f"cluster_minikube_home is {home}, which means another folder wherever it is read: give the whole path."
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
    """Return where minikube stores a profile."""
    folder = Path(home)
    return (folder if folder.name == ".minikube" else folder / ".minikube") / "profiles" / name


def environment(options: Mapping[str, Any]) -> list[str]:
    """Return the beginning of a command that sets minikube's environment."""
    # Without KUBECONFIG, minikube would use the user's own file.
    return ["env", f"MINIKUBE_HOME={options['home']}", f"KUBECONFIG={options['kubeconfig']}", "MINIKUBE_IN_STYLE=false"]


def read_mark(folder: Path) -> list[str] | None:
    """Return the words of the mark; None for a profile that is not managed by the role."""
    try:
        return (folder / MARK_FILE).read_text(encoding="utf-8").split()
    except UnicodeDecodeError:
        # Of the role, on a damaged disk. It is completed again; an interrupted one would be removed with its data.
        return ["unreadable"]
    except OSError:
        return None


def read_config(folder: Path, name: str, state: str) -> dict[str, Any] | None:
    """Return what minikube knows about a profile; None if it knows none. To remove one, its content does not matter."""
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
        f"minikube's profile {name} has a file {folder / 'config.json'} that cannot be read, so it cannot be started, "
        "and its data may still be there: put the file back, or remove what is left with `make down`."
    )


def has_containers(run: Run, driver: str, name: str) -> bool:
    """Return whether there are nodes of a profile. Raises MachineError if the engine docker does not answer.

    minikube takes the nodes of another MINIKUBE_HOME for abandoned ones of its own, and removes them.
    """
    if driver not in ("docker", "podman"):
        return False
    listing = ["container", "ls", "--all", "--quiet", f"--filter=label=name.minikube.sigs.k8s.io={name}"]
    code, output, error = run([driver, *listing])
    if code and driver == "docker":
        raise no_engine(error, f"cluster {name} cannot be looked at")
    return not code and bool(output.strip())


def status(run: Run, command: list[str]) -> list[dict[str, Any]]:
    """Return what `minikube status` knows about each node; none if it prints words for people."""
    _, output, _ = run([*command, "status", "--output=json"])
    try:
        found = json.loads(output)
    except ValueError:
        return []
    return [node for node in (found if isinstance(found, list) else [found]) if isinstance(node, dict)]


def capacity(run: Run) -> dict[str, int]:
    """Return memory in bytes and processors of the engine; zeros if it does not tell them."""
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
                f"minikube's profile {name} was not made by this role, so it is not removed: give another "
                f"cluster_name, or remove it yourself with `minikube delete --profile {name}`."
            )
        if mark is not None and not program:
            raise MachineError(
                f"Neither {' nor '.join(options['programs'])} is there, so profile {name} cannot be removed: put "
                "minikube on PATH, or set cluster_minikube_binary to it."
            )
        return
    if is_foreign:
        elsewhere = "" if config is not None else ", for another MINIKUBE_HOME"
        raise MachineError(
            f"minikube's profile {name} is there already{elsewhere} and was not made by this role, so it is left "
            "alone: give another cluster_name, or deploy to it with cluster_provider existing."
        )
    # minikube itself would look for it for minutes. A profile of another driver has none, whatever the variable is now.
    drivers = {options["driver"], (config or {}).get("Driver") or options["driver"]}
    if mark not in (None, ["begun"]) and config is not None and drivers == {"docker"} and not containers:
        raise MachineError(
            f"The container of minikube's profile {name} was removed, for instance by `docker container prune` while "
            "it was stopped, so it cannot be started again: remove what is left of it, and its data, with `make down`, "
            "then run this again."
        )
    if mark not in (None, ["begun"]) and config is None:
        raise MachineError(
            f"minikube's profile {name} has lost its file config.json, so it cannot be started, and its data may "
            "still be there: put the file back, or remove what is left with `make down`."
        )


def refuse_old(options: Mapping[str, Any], state: str, config: Mapping[str, Any]) -> None:
    """Raise MachineError for a profile of a version that is too low, before it is created if the version is given."""
    setting = "cluster_kubernetes_version"
    if state in ("missing", "incomplete"):
        wanted = str(options["settings"][setting])
        refuse_wanted(options, setting, wanted, wanted)
    else:
        refuse_present(options, setting, kubernetes_version(config))


def state_of(mark: list[str] | None, config: dict[str, Any] | None, nodes: list[dict[str, Any]], content: str) -> str:
    """Return how far a profile is; `restarted` means that some of its nodes run."""
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
    """Return the version of a profile, for instance v1.36.3; empty if minikube does not know it."""
    return str((config.get("KubernetesConfig") or {}).get("KubernetesVersion", ""))


def drift(config: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """Yield how a profile differs from the variables that it is created from, as clauses for people."""
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
    # minikube stores another spelling of these than it takes.
    spelled = dict(wanted) | {
        "cluster_container_runtime": str(wanted["cluster_container_runtime"]).replace("cri-o", "crio"),
        "cluster_addons": ", ".join(sorted(wanted["cluster_addons"])),
    }
    given = str(wanted["cluster_kubernetes_version"]).removeprefix("v")
    if f"{version}.".startswith(f"v{given}."):
        spelled["cluster_kubernetes_version"] = version
    for name, has in present.items():
        if str(spelled[name]) not in ("", str(has), "stable", "latest"):
            yield f"{name} is {spelled[name]} and it has {has}"
