"""Scenario `upgrade` of `make prove`: upgrade a site of an earlier commit with the current site.yml under load."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ground import DATABASE, REPLICAS, Ground, eventually
from plays import PROJECT, Failed, Plays, git, program, say
from rows import Load, Row

RESULTS = "bench/prove.json"
# Directories whose content deploys the site.
DEPLOYING = ("roles", "plugins", "playbooks")
COLLECTION = "cloud_django.kubernetes"
# Variables that must be equal in the runs of both commits.
SHARED = (
    "cluster_name",
    "cluster_state_directory",
    "cluster_kubeconfig",
    "cluster_context",
    "app_name",
    "app_namespace",
    "app_image_repository",
)
# The current run has prepared the machine and the cluster.
PREPARED = "--skip-tags=container_engine,mirror_builds,cluster"
OUTAGE = 5.0  # Maximum seconds of outage pages while the only database pod is replaced.
CALM = 5.0  # Seconds of load after the upgrade.


# ---- The earlier commit ----------------------------------------------------------------------------------------------


def commit_before(wanted: str = "", project: Path = PROJECT) -> str:
    """Return the full hash of the commit to upgrade from: the given one, or that of the last figures.

    If that commit deploys the same as the checkout, it is the last commit that deploys something else. Raises Failed if
    there is none.
    """
    if wanted:
        try:
            return git("rev-parse", "--verify", "--end-of-options", f"{wanted}^{{commit}}", project=project)
        except Failed as failure:
            raise Failed(f"UPGRADE_FROM={wanted} is not a commit of this checkout. {failure}") from failure
    figures = git("log", "-1", "--format=%H", "--", RESULTS, project=project)
    earlier = git("log", "--format=%H", figures or "HEAD", "--", *DEPLOYING, project=project).split()
    for commit in [figures, *earlier] if figures else earlier:
        if git("diff", "--name-only", commit, "--", *DEPLOYING, project=project):
            return commit
    raise Failed(
        "This checkout has no earlier commit with other roles, plugins, or playbooks. "
        "Fetch its history with `git fetch --unshallow`, or choose a commit: make prove UPGRADE_FROM=..."
    )


@contextmanager
def checked_out(commit: str, project: Path = PROJECT) -> Iterator[Path]:
    """Yield a temporary work tree of a commit."""
    with tempfile.TemporaryDirectory(prefix="cloud-django-upgrade-") as folder:
        tree = Path(folder).resolve() / "tree"
        git("worktree", "add", "--quiet", "--detach", str(tree), commit, project=project)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree), project=project)


def plays_of(tree: Path, plays: Plays, shared: Mapping[str, str]) -> Plays:
    """Return the playbooks of a work tree with its inventory and collection. Raises Failed if one is missing."""
    inventories = [counterpart(name.partition("=")[2], tree, plays.project) for name in plays.inventories]
    # Ansible searches these directories before site-packages, which has the current collection.
    collections = tree.with_name("collections")
    link = collections.joinpath("ansible_collections", *COLLECTION.split("."))
    link.parent.mkdir(parents=True)
    link.symlink_to(tree)
    others = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "")
    path = f"{collections}:{others}" if others else str(collections)
    variables = plays.variables | dict(shared) | {"image_context": str(tree)}
    old = Plays(inventories, variables, {"ANSIBLE_COLLECTIONS_PATH": path}, tree)
    if (found := collection_directory(old)) != tree:
        raise Failed(f"The playbooks in {tree} use the collection {COLLECTION} in {found} instead of their own.")
    return old


def counterpart(inventory: str, tree: Path, project: Path = PROJECT) -> str:
    """Return the same inventory in a work tree. An inventory outside of the project is the same for both."""
    path = (project / inventory).resolve()
    if not path.is_relative_to(project):
        return str(path)
    found = tree / path.relative_to(project)
    if not found.exists():
        raise Failed(
            f"The commit to upgrade from has no {path.relative_to(project)}. Choose another commit with UPGRADE_FROM="
        )
    return str(found)


def collection_directory(plays: Plays) -> Path:
    """Return the directory of the collection that the playbooks use."""
    module = min(path.stem for path in (plays.project / "plugins" / "modules").glob("[a-z]*.py"))
    name = f"{COLLECTION}.{module}"
    command = [program("ansible-doc"), "--json", "--type=module", name]
    done = subprocess.run(command, cwd=plays.project, env=plays.environment, capture_output=True, text=True)
    described = json.loads(done.stdout or "{}") if not done.returncode else {}
    if name not in described:
        raise Failed(f"ansible-doc does not find {name}: {done.stderr.strip()}")
    return Path(described[name]["doc"]["filename"]).resolve().parents[2]


# ---- Scenario --------------------------------------------------------------------------------------------------------


@dataclass
class State:
    """State that an upgrade must not change, and that shows whether the database was unavailable."""

    # UIDs of the database pods.
    database: Sequence[str]
    # Hashes of passwords and keys, by Secret and key.
    passwords: Mapping[str, str] = field(default_factory=dict)


def password_hashes(secrets: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return a hash of each value in some Secrets, except certificates, their keys, and tokens."""
    hashes = {}
    for secret in secrets:
        if secret.get("type") == "kubernetes.io/service-account-token":
            continue
        for key, encoded in (secret.get("data") or {}).items():
            value = base64.b64decode(encoded)
            if not value.startswith(b"-----BEGIN "):
                hashes[f"{secret['metadata']['name']}/{key}"] = hashlib.sha256(value).hexdigest()
    return hashes


def state(ground: Ground) -> State:
    """Return the state of the site."""
    secrets = ground.cluster.list("Secret")
    return State([pod["metadata"]["uid"] for pod in ground.pods(DATABASE)], password_hashes(secrets))


def upgrade(ground: Ground) -> Row:
    """Deploy the site with an earlier commit, and upgrade it under load with the current site.yml."""
    with checked_out(ground.upgrade_from) as tree:
        old = plays_of(tree, ground.plays, ground.plays.variables_of(SHARED))
        ground.plays("teardown", teardown_data="purge", teardown_cluster=False)
        say(f"Deploying with commit {ground.upgrade_from[:10]}")
        old("site", PREPARED)
        ground.address = old.address()
        ground.wait_until_whole(REPLICAS)
        ground.wait_for_old_pods()
        before = state(ground)
        with ground.load() as load:
            changed = ground.deploy()
            eventually(lambda: ground.ready(DATABASE) == 1, 60, "the database")
            ground.wait_until_whole(REPLICAS)
            ground.wait_for_old_pods()
            time.sleep(CALM)
        after = state(ground)
        again = ground.deploy()
    return judged(load, f"{ground.upgrade_from[:10]}, {changed} changes", before, after, again)


def judged(load: Load, origin: str, before: State, after: State, again: int) -> Row:
    """Return the row of an upgrade. Outage pages are allowed only while the only database pod is replaced."""
    replaced = set(before.database) != set(after.database)
    pages = [failure["ended"] for failure in load.failures if failure["outcome"] == "unavailable"]
    seconds = max(pages) - min(pages) if pages else 0.0
    problems = []
    if replaced and seconds > OUTAGE:
        problems.append(f"the outage page was shown for {seconds:.1f} s, and {OUTAGE:g} s are allowed")
    if not before.passwords:
        problems.append("no passwords were found")
    differing = sorted(name for name, value in before.passwords.items() if after.passwords.get(name) != value)
    if differing:
        problems.append(f"these passwords changed: {', '.join(differing)}")
    if again:
        problems.append(f"the second run reported {again} changes")
    pod = "replaced" if replaced else "not replaced"
    note = f"from {origin}; {len(pages)} outage pages in {seconds:.1f} s, database pod {pod}"
    name = "A site deployed by the commit before is upgraded by one site.yml under load"
    return load.row(name, len(pages) if replaced else 0, problems, note)
