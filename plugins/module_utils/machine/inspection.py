# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Inspect container engine, builds, cluster, and image on the control node, all at the same time."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images import copies, pods
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import LIST_ENGINE, Run, last_line

from .commands import MachineError, Once, at_once, no_engine, parsed
from .docker import Docker
from .given import inspect_given
from .kind import inspect_kind
from .minikube import inspect_minikube

# Facts that only a build needs, if no build is due.
NO_BUILD: dict[str, Any] = {"builder": "default", "missing_bases": []}


def inspect(parameters: Mapping[str, Any], check_mode: bool, run: Run | None = None) -> dict[str, Any]:
    """Return the requested parts.

    A part that cannot be inspected is left out of a shared result, and otherwise raises CloudDjangoError.
    """
    once = run or Once(Docker())
    calls: dict[str, Callable[[], dict[str, Any]]] = {}
    if parameters["engine"]:
        calls["engine"] = partial(inspect_engine, once)
    if options := parameters["builds"]:
        calls["builds"] = partial(inspect_builds, once, options, check_mode)
    if options := parameters["cluster"]:
        inspector = {"kind": inspect_kind, "minikube": inspect_minikube, "existing": inspect_existing}
        calls["cluster"] = partial(inspector[options["provider"]], once, options)
    if options := parameters["image"]:
        calls["image"] = partial(inspect_image, once, options, check_mode)
    found = at_once({name: partial(attempt, call) for name, call in calls.items()})
    parts: dict[str, Any] = {}
    for name, part in found.items():
        if not isinstance(part, CloudDjangoError):
            parts[name] = part
        elif not parameters["shared"]:
            raise part
    for name, key in (("cluster", "name"), ("image", "reference")):
        if name in parts:
            parts[name][key] = parameters[name][key]
    return parts | {"shared": parameters["shared"]}


def attempt(call: Callable[[], Any]) -> Any:
    """Return the result of a function, or its error."""
    try:
        return call()
    except CloudDjangoError as error:
        return error


def inspect_engine(run: Run) -> dict[str, Any]:
    """Return whether a container engine answers, why not, and whether buildx is installed."""
    # The first command also lists the images of the site, so that an inspection of both parts runs it once.
    commands = {"engine": LIST_ENGINE, "buildx": ["docker", "buildx", "version"]}
    found = at_once({name: partial(run, argv) for name, argv in commands.items()})
    answers, buildx = not found["engine"][0], not found["buildx"][0]
    reason = "" if answers else last_line(found["engine"][2])
    return {"answers": answers, "reason": reason, "buildx": buildx, "settled": answers and buildx}


def inspect_builds(run: Run, options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Return which images are missing or have other inputs, and whether links and files are current.

    Raises MachineError if the container engine does not answer. In check mode, every image then counts as missing.
    """
    images = options["images"]
    labels = image_labels(run, [image["reference"] for image in images.values()], options["label"], check_mode)
    missing = [name for name, image in images.items() if labels.get(image["reference"]) != image["inputs"]]
    programs = all(leads_to(link, target) for link, target in options["programs"].items())
    cached = all(leads_to(link, target) for link, target in options["cache_links"].items()) and all(
        has_content(path, checksum) for path, checksum in options["cache_files"].items()
    )
    settled = not missing and programs and cached
    return {"missing": missing, "programs": programs, "cached": cached, "settled": settled}


def image_labels(run: Run, references: list[str], label: str, check_mode: bool) -> dict[str, str]:
    """Return the value of a label by reference, for the images in the container engine."""
    code, output, error = run(["docker", "image", "inspect", *references])
    # The command also fails for one missing image.
    if code and not check_mode and run(LIST_ENGINE)[0]:
        raise no_engine(error, "images cannot be inspected")
    return {
        tag: ((image.get("Config") or {}).get("Labels") or {}).get(label, "")
        for image in parsed(output or "[]", "docker image inspect")
        for tag in image.get("RepoTags") or []
    }


def leads_to(link: str, target: str) -> bool:
    """Return whether a link, or a parent directory that is a link, leads to an existing file."""
    return os.path.realpath(link) == os.path.realpath(target) and Path(target).exists()


def has_content(path: str, checksum: str) -> bool:
    """Return whether a file has the SHA-256 `checksum`."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest() == checksum
    except OSError:
        return False


def inspect_existing(_: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of an existing cluster. Raises MachineError if the kubeconfig or the context is missing."""
    path, context = Path(options["kubeconfig"]), options["context"]
    step = "Set cluster_kubeconfig to the kubeconfig of the target cluster, then rerun the playbook"
    # As a path, an empty string would be the current directory.
    if not options["kubeconfig"]:
        raise MachineError("cluster_kubeconfig", "is empty", step)
    problem = "is a directory" if path.is_dir() else "cannot be read" if path.exists() else "does not exist"
    if not path.is_file() or not os.access(path, os.R_OK):
        raise MachineError(f"Kubeconfig {path}", problem, step)
    contexts = kubeconfig_contexts(path.read_text(encoding="utf-8", errors="replace"))
    if context not in contexts:
        raise MachineError(
            f"Kubeconfig {path}",
            f"has no context {context}: its contexts are {', '.join(contexts) or 'none'}",
            "Set cluster_context to the context of the target cluster, then rerun the playbook",
        )
    return {"state": "complete", "drift": [], "settled": True}


def kubeconfig_contexts(text: str) -> list[str]:
    """Return the names of the contexts in a kubeconfig. Empty if it is not a kubeconfig."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return []
    contexts = document.get("contexts") if isinstance(document, dict) else None
    if not isinstance(contexts, list):
        return []
    return [str(entry["name"]) for entry in contexts if isinstance(entry, dict) and "name" in entry]


def inspect_image(run: Run, options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Return where copies of an image are, and whether the cluster has the image with the wanted content."""
    reference, provider = options["reference"], options["provider"]
    is_reachable = not check_mode or bool(shutil.which("docker"))
    if options["source"] == "given":
        return inspect_given(run, options, partial(node_copies, run, options), is_reachable) | NO_BUILD
    repository, _ = copies.split(reference)
    calls: dict[str, Callable[[], Any]] = {
        "engine": partial(copies.engine_images, run, repository),
        "nodes": list,
        "registry": dict,
    }
    if provider != "registry":
        calls["nodes"] = partial(node_copies, run, options, reference)
    elif options["state"] == "present":
        calls["registry"] = partial(copies.registry_copy, run, reference)
    if not is_reachable:
        # Without a container engine, check mode reports the planned changes.
        return delivery({"engine": [], "nodes": [], "registry": {}}, options) | NO_BUILD
    found = at_once(calls)
    if provider == "minikube":
        built = next((image["id"] for image in found["engine"] if image["reference"] == reference), "")
        configuration = partial(copies.saved_configuration_id, reference)
        found["nodes"] = copies.known_to(built, found["nodes"], configuration)
    image = delivery(found, options)
    if image["built"] or image["delivered"] or options["state"] == "absent":
        return image | NO_BUILD
    needed: dict[str, Callable[[], Any]] = {
        "builder": lambda: run(["docker", "context", "show"])[1].strip() or "default",
        "missing_bases": partial(missing_bases, run, options["bases"]),
    }
    return image | at_once(needed)


def missing_bases(run: Run, bases: list[str]) -> list[str]:
    """Return the base images of a build that neither the container engine nor a registry has."""
    return [base for base in bases if base.startswith("localhost/") and run(["docker", "image", "inspect", base])[0]]


def node_copies(run: Run, options: Mapping[str, Any], reference: str) -> list[dict[str, Any]]:
    """Return the copies of an image on the nodes of a kind cluster or a minikube profile."""
    companions = options["companions"]
    if options["provider"] == "kind":
        return copies.node_copies(run, options["cluster"], reference, companions)
    parameters = {"minikube_profile": options["cluster"], "minikube_programs": options["programs"]}
    parameters["minikube_home"] = options["home"]
    command, names = copies.minikube_command(parameters), copies.minikube_nodes(parameters)
    return copies.minikube_copies(run, command, names, reference, companions)


def delivery(found: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the copies of an image, and whether it is built and delivered."""
    image = next((image for image in found["engine"] if image["reference"] == options["reference"]), {})
    content = options["content"]
    built = bool(content) and image.get("context") == content
    without = [node["name"] for node in found["nodes"] if image.get("id", "") not in node["ids"]]
    loads = [{"node": name, "image": options["reference"]} for name in without]
    loads += [{"node": node["name"], "image": name} for node in found["nodes"] for name in node["lacks"]]
    if options["provider"] == "registry":
        delivered = bool(content) and found["registry"].get("context") == content
    else:
        delivered = built and bool(found["nodes"]) and not loads
    # The configuration of an older image says nothing about the one that is due.
    config = (image if built else found["registry"] if delivered else {}).get("config") or {}
    problem = pods.problem(options["reference"], config, options["user"], options["command"])
    # The largest number of tags in one place.
    tags = max(len(found["engine"]), *(len(node["references"]) for node in found["nodes"]), 0)
    derived = {
        "id": image.get("id", ""),
        "built": built,
        "nodes_without": without,
        "loads": loads,
        "delivered": delivered,
        "tags": tags,
        "problem": problem if options["state"] == "present" else "",
    }
    return found | derived | {"settled": delivered and tags <= options["keep"] and not derived["problem"]}
