# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""The inventory of a project: its files, with a comment at each guess."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt import sections
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.project import Project
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.adopt.writing import Page, plain

MAIN = "group_vars/all/main.yml"
LOCK = "requirements.txt"
HOSTS = """\
---
# All plays run on this machine, once for each host of this group. Each host is a site.
cloud_django:
  hosts:
    {site}:
      ansible_connection: local
      ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""
PROVIDER = "cluster_provider: minikube"


@dataclass(frozen=True)
class Open:
    """A name that a person has to fill in."""

    name: str
    place: str
    line: int


@dataclass(frozen=True)
class Inventory:
    """Files of an inventory by their paths in it, and the lines to fill in."""

    files: Mapping[str, str]
    open: list[Open]


def write(project: Project, source: str) -> Inventory:
    """Return the inventory of a project.

    Args:
        source: the inventory whose cluster the new one has; empty for none.
    """
    page = Page()
    page.comment(
        f"Site {project.site}, written by `make adopt` from {project.tree.root}. "
        "A comment says where a value comes from, or why it is a guess. Lines that begin with # have no effect. "
        "docs/variables.md describes all variables."
    )
    _site(page, project)
    sections.image(page, project, LOCK)
    sections.project(page, project)
    sections.environment(page, project)
    sections.local(page, project)
    sections.files(page, project)
    sections.web(page, project)
    sections.processes(page, project)
    sections.release(page, project)
    sections.servers(page, project)
    _cluster(page, project, source)
    files = {"hosts.yml": HOSTS.replace("{site}", project.site), MAIN: page.text}
    if project.uses_python_image and project.locked:
        files[LOCK] = "\n".join(map(plain, project.locked)) + "\n"
    found = [Open(name.name, name.place, page.number(f"  # {name.name}: ")) for name in project.open]
    return Inventory(files, found)


def _site(page: Page, project: Project) -> None:
    page.title("Site")
    page.set(
        "app_name", project.site, "Name of the site, in labels and in the names of its objects. It can't change later."
    )
    page.set("app_namespace", project.site, "Namespace of the site in the cluster.")
    page.set(
        "app_public_url",
        "",
        "Public URL, for example https://shop.example.org. Empty means a port of the cluster's nodes.",
    )


def _cluster(page: Page, project: Project, source: str) -> None:
    page.title("Cluster")
    # The repository is in the section of the image.
    blocks = [block for block in project.inherited.blocks if not re.search(r"(?m)^app_image_repository:", block)]
    if source:
        page.comment(f"From {source}, without its site and its passwords.")
    for block in blocks:
        page.raw(block)
    if not re.search(r"(?m)^cluster_provider:", "".join(blocks)):
        page.comment("A minikube cluster on this machine. `kind` is another one, and `existing` uses a kubeconfig.")
        page.raw(PROVIDER)
    for name in dict.fromkeys(project.inherited.secrets):
        page.comment(
            f"{name} was not taken from {source}, because it can be secret. Set it here, preferably from a vault."
        )


def default_site(directory: str) -> str:
    """Return the name of a site, from the name of a directory."""
    name = re.sub(r"[^a-z0-9]+", "-", directory.lower()).strip("-")
    name = re.sub(r"^[^a-z]+", "", name)[:20].strip("-")
    return name or "site"


def make_command(inventory: str) -> str:
    """Return the command that deploys the site."""
    return f"make up INVENTORY={shlex.quote(inventory)}"
