# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""The container engine of the machine, and what was built in it from package mirrors."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images.copies import LIST_ENGINE, Run, last_line
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.machine.commands import (
    MachineError,
    at_once,
    parsed,
)


def inspect_engine(run: Run) -> dict[str, Any]:
    """Return whether an engine answers, why not, and whether buildx is installed."""
    # The first is the one that finds the images of the site, so that an inspection of both runs it once.
    commands = {"engine": LIST_ENGINE, "buildx": ["docker", "buildx", "version"]}
    found = at_once({name: partial(run, argv) for name, argv in commands.items()})
    answers, buildx = not found["engine"][0], not found["buildx"][0]
    reason = "" if answers else last_line(found["engine"][2])
    return {"answers": answers, "reason": reason, "buildx": buildx, "settled": answers and buildx}


def inspect_builds(run: Run, options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Return which of the images are missing or were built from other inputs, and whether links and files are there.

    Raises MachineError if the engine does not answer. Without the engine, check mode counts every image as missing.
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
    """Return the value of a label by reference, for those of the images that the engine has."""
    code, output, error = run(["docker", "image", "inspect", *references])
    # It fails for one missing image as well.
    if code and not check_mode and run(LIST_ENGINE)[0]:
        raise MachineError(
            f"No container engine answers ({last_line(error)}), so images cannot be looked for: start Docker, then run "
            "this again."
        )
    return {
        tag: ((image.get("Config") or {}).get("Labels") or {}).get(label, "")
        for image in parsed(output or "[]", "docker image inspect")
        for tag in image.get("RepoTags") or []
    }


def leads_to(link: str, target: str) -> bool:
    """Return whether a link, or a folder above it, leads to a file that exists."""
    return os.path.realpath(link) == os.path.realpath(target) and Path(target).exists()


def has_content(path: str, checksum: str) -> bool:
    """Return whether a file has this SHA-256."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest() == checksum
    except OSError:
        return False
