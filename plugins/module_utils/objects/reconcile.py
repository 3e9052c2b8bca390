# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Reconcile the objects of one task: apply or remove them, and change no object that another client manages."""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import holds
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import FIELD_MANAGER, Client
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import AGAIN, ApiError, ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.holds import Hold
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.progress import Pace
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import manifests, ownership, secrets
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.manifests import Identity, Obj, identity
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.sources import Sources

Predicate = Callable[[Obj], bool]
# Raises an error before the first change; its arguments are the client, the manifests, and the existing objects.
Guard = Callable[[Client, list[Obj], dict[Identity, Obj | None]], None]

# Field manager of the replicas between their removal from the manifest and the autoscaler's first change.
HANDOVER_MANAGER = "cloud-django-handover"
# Kinds that a deployer account may only read, so they are not applied if they already match.
SELDOM_WRITABLE = {"Namespace"}
# A list of kinds, because manifests of removed objects have no content.
WORKLOADS = {"CronJob", "DaemonSet", "Deployment", "Job", "StatefulSet"}
CHANGES = ("created", "changed", "removed")
# Options with values of Secrets.
VALUES = ("generate", "secret_values", "compose")
# Seconds between two reads of an object that is being deleted.
PAUSE = 0.2
# Seconds between two reads of the reason why it still exists.
LOOK = 2.0


class Run:
    """One run of the module `apply`.

    Args:
        client: client for the namespace of all objects, or for several namespaces.
        params: the options of the module.
        is_rolled_out: returns whether a workload is complete.
        job_failed: returns whether a Job must be recreated.
        show_difference: whether the result has a diff.
        guards: checks that can refuse the manifests before the first change.
    """

    def __init__(
        self,
        client: Client,
        params: dict[str, Any],
        is_rolled_out: Predicate,
        job_failed: Predicate,
        show_difference: bool = False,
        guards: Sequence[Guard] = (),
    ) -> None:
        self.client, self.params, self.show_difference, self.guards = client, params, show_difference, guards
        self.is_rolled_out, self.job_failed = is_rolled_out, job_failed
        self.check = client.dry_run
        self.owner = ownership.as_text(params["owner"], "The option owner")
        self.results: list[dict[str, str]] = []
        self.diffs: list[dict[str, str]] = []
        self.applied: list[Obj] = []
        self.contents: dict[Identity, Obj] = {}
        self.namespaces: dict[str, Obj | None] = {}
        for option in ("prune", "required"):
            if params[option] and not client.namespace:
                raise ManifestError(
                    f"Option {option}", "needs a single namespace", f"Set the option namespace, {AGAIN}"
                )

    # --- Options and results --------------------------------------------------------------------------------------

    def record(self, obj: Obj, action: str, before: Obj | None, after: Obj | None) -> None:
        """Add the action on an object to the result."""
        self.results.append({"kind": obj["kind"], "name": obj["metadata"]["name"], "action": action})
        if self.show_difference and action in CHANGES:
            self.diffs.append(manifests.difference(before, after))

    def result(self, exists: bool) -> dict[str, Any]:
        """Return the part of the result that both states have."""
        changed = any(result["action"] in CHANGES for result in self.results)
        shown = {"diff": self.diffs} if self.show_difference else {}
        return {"changed": changed, "objects": self.results, "exists": exists} | shown

    def named(self, option: str) -> list[Obj]:
        """Return the manifests of an option with their namespaces."""
        objects = manifests.placed(self.params[option], self.client.namespace, self.client.is_cluster_wide)
        self.client.public_names |= {obj["metadata"]["name"] for obj in objects} | set(self.places(objects))
        return objects

    def wanted(self) -> list[Obj]:
        """Return the manifests to apply, with the labels of their owner."""
        objects = self.named("objects")
        manifests.refuse_twins(objects + self.named("unwanted"))
        for obj in objects:
            obj["metadata"]["labels"] = ownership.labels_of(obj) | self.owner
        known = {obj["metadata"]["name"] for obj in objects if obj["kind"] == "Secret"}
        unknown = sorted({name for option in VALUES for name in self.params[option]} - known)
        if unknown:
            reason = f"is in {' or '.join(VALUES)}, but not in objects"
            raise ManifestError(f"Secret {unknown[0]}", reason, f"Add it to objects, {AGAIN}")
        return objects

    # --- Namespaces -----------------------------------------------------------------------------------------------

    def places(self, objects: list[Obj]) -> list[str]:
        """Return the namespaces of the objects and the task, sorted."""
        names = {manifests.namespace_of(obj) for obj in objects} | {self.client.namespace}
        return sorted(names - {""})

    def read_namespaces(self, objects: list[Obj]) -> None:
        """Read the namespaces of the objects."""
        self.namespaces = {name: self.client.get("Namespace", name) for name in self.places(objects)}

    def is_missing(self, obj: Obj) -> bool:
        """Return whether the namespace of an object does not exist or is being deleted."""
        place = manifests.namespace_of(obj)
        return place in self.namespaces and not manifests.lasting(self.namespaces[place])

    def is_planned(self, obj: Obj) -> bool:
        """Return whether check mode only reports an object, because a dry run does not create its namespace."""
        return self.check and self.is_missing(obj)

    def refuse_missing(self, wanted: list[Obj]) -> None:
        """Raise ManifestError if a namespace neither exists nor is among the objects."""
        created = {obj["metadata"]["name"] for obj in wanted if obj["kind"] == "Namespace"}
        for name in (manifests.namespace_of(obj) for obj in wanted if self.is_missing(obj)):
            if name in created:
                continue
            reason, step = "does not exist", "Create it with the role namespace"
            if self.namespaces[name]:
                reason, step = "is being deleted", "Wait until it is deleted"
            raise ManifestError(f"Namespace {name}", reason, f"{step}, {AGAIN}")

    # --- Present --------------------------------------------------------------------------------------------------

    def present(self) -> dict[str, Any]:
        """Apply the objects, then remove unwanted and old ones."""
        wanted, unwanted = self.wanted(), self.named("unwanted")
        self.read_namespaces(wanted + unwanted)
        if not self.check:
            self.refuse_missing(wanted)
        wanted, existing = self.prepare(wanted)
        for guard in self.guards:
            guard(self.client, wanted, existing)
        rules = self.params["prune"] if manifests.lasting(self.namespaces.get(self.client.namespace)) else []
        self.prune([rule for rule in rules if rule.get("first")], wanted)
        for obj in wanted:
            self.apply(obj, existing[identity(obj)])
        unfinished = [] if self.check else [obj for obj in self.applied if not self.is_rolled_out(obj)]
        if not (unfinished and self.params["keep_unwanted"]):
            self.remove(unwanted)
        self.prune([rule for rule in rules if not rule.get("first")], wanted)
        workloads = [{"kind": obj["kind"], "name": obj["metadata"]["name"]} for obj in unfinished]
        exists = all(manifests.lasting(found) for found in self.namespaces.values())
        return self.result(exists) | {"unfinished": workloads, "releases": manifests.releases(wanted)}

    def read(self, obj: Obj) -> Obj | None:
        """Return an existing object; None, without a request, if its namespace does not exist."""
        if obj["kind"] == "Namespace" and obj["metadata"]["name"] in self.namespaces:
            return self.namespaces[obj["metadata"]["name"]]
        return None if self.is_missing(obj) else self.client.read(obj)

    def prepare(self, wanted: list[Obj]) -> tuple[list[Obj], dict[Identity, Obj | None]]:
        """Return the manifests with values, hashes, and names of Jobs, and the existing objects.

        Raises ManifestError if an existing object has another owner. Waits until objects that are being deleted are
        gone, because changes to them would be lost.
        """
        found = {identity(obj): self.read(obj) for obj in wanted if obj["kind"] != "Job"}
        wanted = [self.with_secrets(obj, manifests.lasting(found.get(identity(obj)))) for obj in wanted]
        self.contents = {identity(obj): obj for obj in wanted}
        # After the others, because generated values can be parts of composed ones.
        wanted = [self.with_composed(obj) for obj in wanted]
        self.refuse_incomplete()
        if self.params["configuration_hash"]:
            wanted = [self.with_hash(obj) for obj in wanted]
        wanted = [
            manifests.named_by_content(obj) if obj["kind"] == "Job" and not self.is_planned(obj) else obj
            for obj in wanted
        ]
        found |= {identity(obj): self.read(obj) for obj in wanted if obj["kind"] == "Job"}
        present = [obj for obj in found.values() if obj]
        ownership.refuse_foreign([obj for obj in present if not self.is_left(obj)], self.owner)
        self.wait_gone([obj for obj in present if manifests.is_going(obj)])
        return wanted, {key: manifests.lasting(obj) for key, obj in found.items()}

    def is_left(self, existing: Obj) -> bool:
        """Return whether an object of another owner is left unchanged instead of refused."""
        return existing["kind"] in self.params["leave_foreign"] and ownership.foreign(existing, self.owner)

    def with_secrets(self, obj: Obj, existing: Obj | None) -> Obj:
        """Return a Secret with its values, and other objects unchanged."""
        if obj["kind"] != "Secret":
            return obj
        name = obj["metadata"]["name"]
        values, generate = (self.params[option].get(name) or {} for option in ("secret_values", "generate"))
        secret = secrets.fill(obj, existing, values, generate)
        self.client.hide(secret)
        return secret

    def sources(self, namespace: str) -> Sources:
        """Return the sources of composed values, whose Secrets are in a namespace."""
        return Sources(
            self.params["sources"], lambda name: self.content("Secret", name, namespace), namespace, self.check
        )

    def with_composed(self, obj: Obj) -> Obj:
        """Return a Secret with its composed values, and other objects unchanged."""
        templates = self.params["compose"].get(obj["metadata"]["name"]) if obj["kind"] == "Secret" else None
        if not templates:
            return obj
        composed = self.sources(manifests.namespace_of(obj)).composed(obj["metadata"]["name"], templates)
        secret = secrets.fill(obj, None, composed, {})
        self.client.hide(secret)
        self.contents[identity(obj)] = secret
        return secret

    def refuse_incomplete(self) -> None:
        """Raise ManifestError if a Secret lacks a key that the option `required` names."""
        if required := self.params["required"]:
            place = self.client.namespace
            planned = not manifests.lasting(self.namespaces.get(place))
            self.sources(place).refuse_incomplete(required, self.contents.values(), planned)

    def with_hash(self, obj: Obj) -> Obj:
        """Return a workload with the hash of the configuration that its pods read, and other objects unchanged."""
        template = manifests.pod_template(obj)
        # A change of what a Job can do without, for instance of the password of the cache, does not repeat the Job.
        optional = obj["kind"] != "Job"
        keys = manifests.references(template, optional) if template and not self.is_planned(obj) else []
        if not keys:
            return obj
        contents = {(kind, name): self.content(kind, name, manifests.namespace_of(obj)) for kind, name in keys}
        return manifests.with_hash(obj, manifests.hash_of(keys, contents))

    def content(self, kind: str, name: str, namespace: str) -> Obj:
        """Return a Secret or ConfigMap as it will be after this task; empty if it does not exist."""
        if (kind, namespace, name) not in self.contents:
            # A user may have no permission to read in a namespace that does not exist.
            there = namespace not in self.namespaces or manifests.lasting(self.namespaces[namespace])
            found = self.client.get(kind, name, "v1", namespace) if there else None
            self.contents[kind, namespace, name] = found or {}
        return self.contents[kind, namespace, name]

    def apply(self, obj: Obj, existing: Obj | None) -> None:
        """Apply one object and record the action."""
        if self.is_planned(obj):
            return self.record(obj, "created", None, obj)
        if existing and self.is_left(existing):
            return self.record(obj, "left", existing, existing)
        if existing and obj["kind"] in SELDOM_WRITABLE and manifests.holds(existing, obj):
            return self.record(obj, "unchanged", existing, existing)
        if obj["kind"] == "Job" and existing:
            if not self.job_failed(existing):
                self.applied.append(existing)
                return self.record(obj, "unchanged", existing, existing)
            self.client.remove(existing)
            self.wait_gone([existing])
            if self.check:
                # A dry run would be refused, because the failed Job still exists.
                return self.record(obj, "changed", existing, obj)
        after = self.client.apply(self.handed_over(self.locked(obj, existing), existing))
        if manifests.is_going(after) and not self.check:
            self.wait_gone([after])
            after = self.client.apply(obj)
        self.applied.append(after)
        if not existing:
            return self.record(obj, "created", None, after)
        return self.record(obj, "unchanged" if manifests.same(existing, after) else "changed", existing, after)

    def locked(self, obj: Obj, existing: Obj | None) -> Obj:
        """Return a Secret with the version for which its random values were generated.

        The later of two simultaneous runs then fails. Otherwise it would replace a password that is already in use.
        """
        if obj["kind"] != "Secret" or not self.params["generate"].get(obj["metadata"]["name"]):
            return obj
        if not existing and self.check:
            return obj
        empty = {key: obj[key] for key in ("apiVersion", "kind", "type") if key in obj}
        names = {key: obj["metadata"][key] for key in ("name", "namespace")}
        version = (existing or self.client.create(empty | {"metadata": names | {"labels": self.owner}}))["metadata"]
        return obj | {"metadata": obj["metadata"] | {"resourceVersion": version["resourceVersion"]}}

    def handed_over(self, obj: Obj, existing: Obj | None) -> Obj:
        """Return the manifest to apply, after a handover of replicas that it no longer sets."""
        replicas = manifests.owned_replicas(existing, obj, FIELD_MANAGER)
        if not replicas:
            # Without a handover of 0, the default of 1 starts a stopped workload, which an autoscaler does not.
            return obj
        if self.check:
            # A dry run of the handover would have no effect on the dry run of the apply.
            return obj | {"spec": obj["spec"] | {"replicas": replicas}}
        names = {key: obj["metadata"][key] for key in ("name", "namespace")}
        part = {key: obj[key] for key in ("apiVersion", "kind")} | {"metadata": names}
        self.client.apply(part | {"spec": {"replicas": replicas}}, HANDOVER_MANAGER)
        return obj

    # --- Old and unwanted objects ---------------------------------------------------------------------------------

    def listed(self, rule: dict[str, Any]) -> tuple[list[Obj], dict[str, str]]:
        """Return the objects of a prune rule and their labels."""
        labels = ownership.as_text(rule["labels"], "The option labels of a prune rule") | self.owner
        return self.client.list(rule["kind"], rule["api_version"], labels=labels), labels

    def prune(self, rules: Iterable[dict[str, Any]], wanted: list[Obj]) -> None:
        """Remove the oldest objects of rules, and wait until those are gone that have to be first."""
        for rule in rules:
            items, labels = self.listed(rule)
            names = {item["metadata"]["name"] for item in items}
            kind = [obj for obj in wanted if obj["kind"] == rule["kind"]]
            counting = [obj for obj in kind if obj["metadata"]["name"] in names or not ownership.foreign(obj, labels)]
            old = manifests.outdated(items, rule["keep"], counting)
            for item in old:
                self.remove(manifests.companions(rule, item))
                self.client.remove(item)
                self.record(item, "removed", item, None)
            if rule.get("first"):
                self.wait_gone(old + [item for item in items if manifests.is_going(item)])

    def absent(self) -> dict[str, Any]:
        """Remove the objects, and wait until they are gone if the option is set."""
        objects = self.named("objects")
        self.read_namespaces(objects)
        exists = all(self.namespaces.values())
        # Workloads first, because a running pod may write to a volume and needs its Secrets and NetworkPolicy.
        gone = self.remove([obj for obj in objects if obj["kind"] in WORKLOADS], report_absent=True)
        if self.params["wait"]:
            self.wait_gone(gone)
        gone += self.remove([obj for obj in objects if obj["kind"] not in WORKLOADS], report_absent=True)
        for rule in self.params["prune"] if self.namespaces.get(self.client.namespace) else []:
            listed, _ = self.listed(rule)
            left = [item for item in listed if not any(manifests.same_object(item, other) for other in gone)]
            gone += self.remove([other for item in left for other in manifests.companions(rule, item)])
            gone += self.remove_found(left)
        if self.params["wait"]:
            self.wait_gone(gone)
        return self.result(exists)

    def find(self, obj: Obj) -> list[Obj]:
        """Return the managed existing objects for a manifest; for a Job, one for each content that it has had."""
        namespace = manifests.namespace_of(obj)
        if namespace and not self.namespaces.get(namespace):
            return []
        if obj["kind"] == "Job":
            jobs = self.client.list("Job", obj["apiVersion"], namespace, labels=self.owner)
            return [job for job in jobs if manifests.is_named_after(job["metadata"]["name"], obj)]
        found = self.client.read(obj) if self.client.plural(obj["apiVersion"], obj["kind"]) else None
        return [found] if found and not ownership.foreign(found, self.owner) else []

    def remove(self, objects: list[Obj], *, report_absent: bool = False) -> list[Obj]:
        """Remove the managed existing objects, and return them with those that are already being deleted."""
        gone = []
        for obj in objects:
            found = self.find(obj)
            gone += self.remove_found(found)
            if report_absent and all(manifests.is_going(item) for item in found):
                self.record(obj, "absent", None, None)
        return gone

    def remove_found(self, found: list[Obj]) -> list[Obj]:
        """Remove existing objects that are not being deleted yet."""
        for item in found:
            if not manifests.is_going(item):
                self.client.remove(item)
                self.record(item, "removed", item, None)
        return found

    def wait_gone(self, objects: list[Obj]) -> None:
        """Wait until all objects are gone, except in check mode. Raises ManifestError after the timeout."""
        timeout, pace, checked = self.params["timeout"], Pace(), -LOOK
        left, held, hold = ([] if self.check else list(objects)), {}, Hold("")
        while left := [now for obj in left if (now := self.client.read(obj)) and manifests.same_object(now, obj)]:
            # Also before an error, because the object or the reason may have changed.
            is_over = pace.seconds >= timeout
            if is_over or pace.seconds - checked >= LOOK or pace.seconds >= hold.patience:
                checked = pace.seconds
                held, hold = self.worst(left)
            reason = f": {hold.text}" if hold.text else ""
            if is_over or checked >= hold.patience:
                where = f"{ownership.place_of(held)} still exists after {pace.seconds:.0f} s{reason}".lstrip()
                raise ManifestError(manifests.title(held), where, f"{hold.next_step}, {AGAIN}")
            pace.tell(f"{manifests.title(held)} is being deleted{reason}")
            time.sleep(PAUSE)

    def worst(self, going: list[Obj]) -> tuple[Obj, Hold]:
        """Return the object whose deletion has the most serious delay, and the reason of the delay."""
        found = [(obj, self.hold_of(obj) or Hold("")) for obj in going]
        return min(found, key=lambda pair: (pair[1].patience, not pair[1].text))

    def hold_of(self, obj: Obj) -> Hold | None:
        """Return why an object that is being deleted still exists, if the user may read that."""
        pods = []
        if obj["kind"] == "PersistentVolumeClaim":
            with contextlib.suppress(ApiError):
                pods = self.client.list("Pod", namespace=manifests.namespace_of(obj))
        return holds.of(obj, pods)
