#!/usr/bin/python
# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Apply all objects of a role in one task, and touch nothing that is not ours."""

from __future__ import annotations

DOCUMENTATION = r"""
module: apply
short_description: Apply the objects of one role together
version_added: 0.1.0
author:
  - The Cloud Django authors (@cloud-django)
description:
  - Applies a list of manifests to one namespace by server-side apply, with one field manager for ever. The objects are
    looked at first. If one of them exists and is somebody else's, nothing is changed.
  - Takes back fields that somebody else changed by hand. Fields that the manifests do not name are left alone.
  - Makes random passwords and keys once, keeps them in their Secret, and never returns or shows the content of
    a Secret.
  - Sees to it that pods are replaced when, and only when, a Secret or ConfigMap that they read has another content.
  - In check mode on a cluster that has no such namespace yet, it says what would be made.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - cloud_django.kubernetes.connection
attributes:
  check_mode:
    description: Asks the API server for a dry run, so that it reports what would change and what would be refused.
    support: full
  diff_mode:
    description: Shows each changed object. Of a Secret it shows which keys differ.
    support: full
notes:
  - A user needs the verbs C(get), C(list), C(create), C(patch) and C(delete) on the kinds, and C(get) on the namespace.
options:
  namespace:
    description: Namespace of the objects. It must exist, except in check mode.
    type: str
    required: true
  objects:
    description:
      - The manifests, all of namespaced kinds. An empty list is done at once.
      - A Job gets a hash of its content at the end of its name, since its template cannot be changed. One that is there
        is left alone, and one that has failed is made again.
      - An object that is being deleted is waited for and made anew.
    type: list
    elements: dict
    required: true
  unwanted:
    description:
      - Objects to remove when O(state=present), for instance what an option turned off. They need no more than
        apiVersion, kind and name. Those of a kind that the cluster does not know, or that are not ours, are left alone.
        Nobody waits until they are gone.
    type: list
    elements: dict
    default: []
  state:
    description:
      - V(present) applies the objects. V(absent) removes those of them that carry the owner's labels, a Job with
        whatever content, and waits until they are gone with their pods. The manifests then need no more than
        apiVersion, kind and name.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description: Labels by which an object is known to be ours, at least one. They are added to each manifest.
    type: dict
    required: true
  generate:
    description:
      - Random values, per Secret and key the number of characters (letters and digits), for Secrets among O(objects). A
        value that is there is kept. Of two runs that make one at the same time, the later fails.
    type: dict
    default: {}
  secret_values:
    description:
      - Given values, per Secret and key the text, for Secrets among O(objects). They win over random ones.
      - A password belongs here and not into a manifest, which Ansible shows if it does not understand an option.
    type: dict
    default: {}
  prune:
    description: Old objects to remove after the others were applied. All of them are removed when O(state=absent).
    type: list
    elements: dict
    default: []
    suboptions:
      api_version:
        description: API version of the kind.
        type: str
        required: true
      kind:
        description: Kind of the objects.
        type: str
        required: true
      labels:
        description: Labels that the objects have, on top of the owner's.
        type: dict
        required: true
      keep:
        description: How many of the youngest to keep. Those among O(objects) are always kept.
        type: int
        required: true
  wait:
    description: Whether to wait, when O(state=absent), until the objects are gone with their pods.
    type: bool
    default: true
  timeout:
    description: How many seconds to wait at most for removed objects, and their pods, to be gone.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Apply a site's settings and key
  cloud_django.kubernetes.apply:
    kubeconfig: ~/.kube/config
    context: minikube
    namespace: polls
    owner:
      app.kubernetes.io/managed-by: cloud-django
      app.kubernetes.io/instance: polls
    objects:
      - apiVersion: v1
        kind: ConfigMap
        metadata:
          name: polls-web
        data:
          LOG_LEVEL: INFO
      - apiVersion: v1
        kind: Secret
        metadata:
          name: polls-web
    generate:
      polls-web:
        secret-key: 64
"""

RETURN = r"""
objects:
  description: What became of each object, in the order in which they were given, then the pruned ones.
  type: list
  elements: dict
  returned: success
  contains:
    kind:
      description: Kind of the object.
      type: str
    name:
      description: Name of the object.
      type: str
    action:
      description: One of V(created), V(changed), V(unchanged), V(removed), V(absent).
      type: str
  sample: [{kind: ConfigMap, name: polls-web, action: unchanged}]
unfinished:
  description:
    - The workloads among the objects that are not where they should be yet, as M(cloud_django.kubernetes.rollout) takes
      them to wait for. Empty in check mode.
  type: list
  elements: dict
  returned: when O(state=present)
  sample: [{kind: Deployment, name: polls-web}]
exists:
  description: Whether the namespace exists.
  type: bool
  returned: success
"""

import copy
import json
import logging
import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloud_django.kubernetes.plugins.module_utils import declared_objects as declared
from ansible_collections.cloud_django.kubernetes.plugins.module_utils import masking
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.connection import (
    ApiException,
    HTTPError,
    Trouble,
    cause_of,
    connect,
    explain,
    required_connection,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.endpoints import PLURALS, namespaced, root
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

MANAGER = "cloud-django"
# Takes over the number of replicas for the moment between us and an autoscaler.
HANDOVER_MANAGER = "cloud-django-handover"

# In seconds: to connect, and to wait for an answer, which a webhook may hold up for 30.
REQUEST_LIMIT = (5.0, 35.0)
PAUSE = 0.2


class Cluster:
    """What this module asks of one namespace; `client` is kubernetes.core's dynamic client.

    Every method raises Refusal for what the API refuses, and HTTPError or OSError if it does not answer.
    """

    def __init__(self, client: Any, namespace: str, dry_run: bool = False) -> None:
        self.client, self.namespace = client, namespace
        self.dry_run = {"dry_run": "All"} if dry_run else {}
        # The API is asked about any other kind, which costs a request.
        self.plurals: dict[tuple[str, str], str] = dict(PLURALS)
        # What the API says may quote the first, and need not be masked inside of the second.
        self.secret_values: list[str | bytes] = []
        self.public_names = {namespace}

    def send(self, method: str, path: str, about: str, **options: Any) -> declared.Obj | None:
        """Return the answer, or None if there is no such thing. `about` begins the sentence if it is refused."""
        try:
            answer = self.client.request(method, path, serialize=False, _request_timeout=REQUEST_LIMIT, **options)
            return json.loads(answer.data)
        except ApiException as error:
            if error.status == 404:
                return None
            said = masking.mask(cause_of(error), masking.all_forms(self.secret_values), self.public_names)
            raise declared.Refusal(
                f"{about}: {masking.shorten(said).rstrip('.')}. "
                f"{declared.advice(error.status, said)}, then run the playbook again."
            ) from None
        except ValueError:
            raise OSError("what it answers is not JSON") from None

    def plural(self, api_version: str, kind: str) -> str | None:
        """Return what the API calls objects of this kind in a path; None if it has none."""
        if (api_version, kind) not in self.plurals:
            found = self.send("get", root(api_version), f"The kinds of {api_version} cannot be listed") or {}
            for resource in found.get("resources") or []:
                if resource["kind"] == kind and "/" not in resource["name"]:
                    if not resource["namespaced"]:
                        raise declared.Refusal(
                            f"{kind} of {api_version} belongs to no namespace, and this task works in one. "
                            "Leave it out."
                        )
                    self.plurals[api_version, kind] = resource["name"]
        return self.plurals.get((api_version, kind))

    def path(self, api_version: str, kind: str, name: str = "") -> str:
        plural = self.plural(api_version, kind)
        if not plural:
            raise declared.Refusal(
                f"The cluster knows no {kind} of {api_version}. Install what brings it, or turn off what needs it."
            )
        return namespaced(api_version, plural, self.namespace, name)

    def about(self, obj: declared.Obj, verb: str) -> str:
        return f"{declared.title(obj)} in namespace {self.namespace} cannot be {verb}"

    def path_of(self, obj: declared.Obj) -> str:
        return self.path(obj["apiVersion"], obj["kind"], obj["metadata"]["name"])

    def read_namespace(self) -> declared.Obj | None:
        return self.send(
            "get", f"/api/v1/namespaces/{quote(self.namespace, '')}", f"Namespace {self.namespace} cannot be read"
        )

    def read(self, obj: declared.Obj) -> declared.Obj | None:
        found = self.send("get", self.path_of(obj), self.about(obj, "read"))
        if found and obj["kind"] == "Secret":
            self.hide(found)
        return found

    def hide(self, secret: declared.Obj) -> None:
        """Have the values of a Secret masked in all that the API says from now on."""
        self.secret_values += [declared.decode(value) or b"" for value in (secret.get("data") or {}).values()]

    def list(self, api_version: str, kind: str, labels: dict[str, str]) -> list[declared.Obj]:
        """Return the objects that have these labels; none of a kind that the cluster does not know."""
        if not self.plural(api_version, kind):
            return []
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        about = f"The {kind}s in namespace {self.namespace} cannot be listed"
        found = self.send("get", self.path(api_version, kind), about, label_selector=selector)
        return [{"apiVersion": api_version, "kind": kind} | item for item in (found or {}).get("items") or []]

    def find(self, obj: declared.Obj, owner: dict[str, str]) -> list[declared.Obj]:
        """Return what there is of ours by this manifest, which for a Job is one for each content that it ever had."""
        if obj["kind"] == "Job":
            jobs = self.list(obj["apiVersion"], "Job", owner)
            return [job for job in jobs if declared.is_named_after(job["metadata"]["name"], obj)]
        found = self.read(obj) if self.plural(obj["apiVersion"], obj["kind"]) else None
        return [found] if found and not declared.foreign(found, owner) else []

    def write(self, method: str, path: str, about: str, **options: Any) -> declared.Obj:
        written = self.send(method, path, about, **options, **self.dry_run)
        if not written:
            raise declared.Refusal(f"{about}: the namespace is gone. Make it again, with the role namespace.")
        return written

    def apply(self, obj: declared.Obj, manager: str = MANAGER) -> declared.Obj:
        return self.write(
            "patch",
            self.path_of(obj),
            self.about(obj, "applied"),
            body=json.dumps(obj),
            content_type="application/apply-patch+yaml",
            field_manager=manager,
            force_conflicts="true",
        )

    def create(self, obj: declared.Obj) -> declared.Obj:
        path = self.path(obj["apiVersion"], obj["kind"])
        return self.write("post", path, self.about(obj, "created"), body=obj, field_manager=MANAGER)

    def remove(self, obj: declared.Obj) -> None:
        # Foreground, so that an object that is gone has taken its pods along; by its UID, so that it is this one. A dry
        # run is named here, since the API does not look into the path of a request that has options in its body.
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": obj["metadata"]["uid"]},
            "dryRun": list(self.dry_run.values()),
        }
        self.send("delete", self.path_of(obj), self.about(obj, "removed"), body=body)

    def wait_gone(self, objects: list[declared.Obj], timeout: float) -> None:
        """Return when all of them are gone, or at once in a dry run. Raises Refusal after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        left = [] if self.dry_run else list(objects)
        while left := [obj for obj in left if (found := self.read(obj)) and declared.same_object(found, obj)]:
            if time.monotonic() >= deadline:
                raise declared.Refusal(
                    f"{declared.title(left[0])} in namespace {self.namespace} is not gone after {timeout:g} s. "
                    "See what holds it with kubectl describe, then run the playbook again."
                )
            time.sleep(PAUSE)


class Run:
    """One run of the module."""

    def __init__(self, cluster: Cluster, params: dict[str, Any], show_difference: bool = False) -> None:
        self.cluster, self.params, self.show_difference = cluster, params, show_difference
        self.check = bool(cluster.dry_run)
        self.owner = declared.as_text(params["owner"], "The option owner")
        self.results: list[dict[str, str]] = []
        self.diffs: list[dict[str, str]] = []
        self.applied: list[declared.Obj] = []
        self.contents: dict[declared.Reference, declared.Obj] = {}

    def note(self, obj: declared.Obj, action: str, before: declared.Obj | None, after: declared.Obj | None) -> None:
        self.results.append({"kind": obj["kind"], "name": obj["metadata"]["name"], "action": action})
        if self.show_difference and action in ("created", "changed", "removed"):
            self.diffs.append(declared.difference(before, after))

    def result(self, exists: bool) -> dict[str, Any]:
        changed = any(result["action"] in ("created", "changed", "removed") for result in self.results)
        shown = {"diff": self.diffs} if self.show_difference else {}
        return {"changed": changed, "objects": self.results, "exists": exists} | shown

    def named(self, option: str) -> list[declared.Obj]:
        objects = declared.in_namespace(self.params[option], self.params["namespace"])
        self.cluster.public_names |= {obj["metadata"]["name"] for obj in objects}
        return objects

    def wanted(self) -> list[declared.Obj]:
        objects = self.named("objects")
        declared.refuse_twins(objects + self.named("unwanted"))
        for obj in objects:
            obj["metadata"]["labels"] = declared.labels(obj) | self.owner
        known = {obj["metadata"]["name"] for obj in objects if obj["kind"] == "Secret"}
        unknown = sorted((set(self.params["generate"]) | set(self.params["secret_values"])) - known)
        if unknown:
            raise declared.Refusal(
                f"There is no Secret {unknown[0]} among the objects to put values into. Add it to objects."
            )
        return objects

    def present(self) -> dict[str, Any]:
        wanted = self.wanted()
        namespace = self.cluster.read_namespace()
        if not namespace or declared.is_going(namespace):
            return self.without_namespace(wanted, namespace)
        wanted, existing = self.look(wanted)
        for obj in wanted:
            self.apply(obj, existing[declared.reference(obj)])
        self.remove(self.named("unwanted"))
        for rule in self.params["prune"]:
            self.prune(rule, wanted)
        unfinished = [] if self.check else [obj for obj in self.applied if not declared.is_rolled_out(obj)]
        workloads = [{"kind": obj["kind"], "name": obj["metadata"]["name"]} for obj in unfinished]
        return self.result(exists=True) | {"unfinished": workloads}

    def without_namespace(self, wanted: list[declared.Obj], going: declared.Obj | None) -> dict[str, Any]:
        """Return the plan of a dry run, in which nobody has made the namespace. Raises Refusal in any other run."""
        name = self.params["namespace"]
        if wanted and not self.check and going:
            raise declared.Refusal(f"Namespace {name} is being deleted. Wait for its end, then run the playbook again.")
        if wanted and not self.check:
            raise declared.Refusal(f"Namespace {name} does not exist. Make it first, with the role namespace.")
        for obj in wanted:
            self.note(obj, "created", None, self.with_secrets(obj, None))
        return self.result(exists=False) | {"unfinished": []}

    def look(
        self, wanted: list[declared.Obj]
    ) -> tuple[list[declared.Obj], dict[declared.Reference, declared.Obj | None]]:
        """Return the manifests with all that they lack, and what there is of them.

        Raises Refusal if something is somebody else's. What is on its way out is waited for and counts as gone: applied
        to, it would vanish a moment later.
        """
        found = {declared.reference(obj): self.cluster.read(obj) for obj in wanted if obj["kind"] != "Job"}
        wanted = [self.with_secrets(obj, lasting(found.get(declared.reference(obj)))) for obj in wanted]
        self.contents = {declared.reference(obj): obj for obj in wanted}
        wanted = [self.with_hash(obj) for obj in wanted]
        wanted = [declared.named_by_content(obj) if obj["kind"] == "Job" else obj for obj in wanted]
        found |= {declared.reference(obj): self.cluster.read(obj) for obj in wanted if obj["kind"] == "Job"}
        there = [obj for obj in found.values() if obj]
        declared.refuse_foreign(there, self.owner, self.params["namespace"])
        self.cluster.wait_gone([obj for obj in there if declared.is_going(obj)], self.params["timeout"])
        return wanted, {key: lasting(obj) for key, obj in found.items()}

    def with_secrets(self, obj: declared.Obj, existing: declared.Obj | None) -> declared.Obj:
        if obj["kind"] != "Secret":
            return obj
        name = obj["metadata"]["name"]
        values, generate = (self.params[option].get(name) or {} for option in ("secret_values", "generate"))
        secret = declared.fill_secret(obj, existing, values, generate)
        self.cluster.hide(secret)
        return secret

    def with_hash(self, obj: declared.Obj) -> declared.Obj:
        template = declared.pod_template(obj)
        references = declared.configuration_references(template) if template else []
        if not references:
            return obj
        for kind, name in references:
            if (kind, name) not in self.contents:
                found = self.cluster.read({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}})
                self.contents[kind, name] = found or {}
        return declared.with_configuration_hash(obj, declared.configuration_hash(references, self.contents))

    def apply(self, obj: declared.Obj, existing: declared.Obj | None) -> None:
        if obj["kind"] == "Job" and existing:
            if not declared.job_failed(existing):
                self.applied.append(existing)
                return self.note(obj, "unchanged", existing, existing)
            self.cluster.remove(existing)
            self.cluster.wait_gone([existing], self.params["timeout"])
            if self.check:
                # A dry run of the apply would be refused: the failed Job is still there.
                return self.note(obj, "changed", existing, obj)
        after = self.cluster.apply(self.handed_over(self.locked(obj, existing), existing))
        if declared.is_going(after) and not self.check:
            self.cluster.wait_gone([after], self.params["timeout"])
            after = self.cluster.apply(obj)
        self.applied.append(after)
        if not existing:
            return self.note(obj, "created", None, after)
        return self.note(obj, "unchanged" if declared.same(existing, after) else "changed", existing, after)

    def locked(self, obj: declared.Obj, existing: declared.Obj | None) -> declared.Obj:
        """Return a Secret tied to the version that its random values go with, so that one of two runs at once fails.

        The later of them would replace a password that the other one already has handed out.
        """
        if obj["kind"] != "Secret" or not self.params["generate"].get(obj["metadata"]["name"]):
            return obj
        if not existing and self.check:
            return obj
        empty = {key: obj[key] for key in ("apiVersion", "kind", "type") if key in obj}
        empty |= {"metadata": {"name": obj["metadata"]["name"], "labels": self.owner}}
        version = (existing or self.cluster.create(empty))["metadata"]["resourceVersion"]
        return obj | {"metadata": obj["metadata"] | {"resourceVersion": version}}

    def handed_over(self, obj: declared.Obj, existing: declared.Obj | None) -> declared.Obj:
        """Return the manifest to apply, after another manager holds the replicas that it does not name any more."""
        replicas = declared.owned_replicas(existing, obj, MANAGER)
        if replicas is None:
            return obj
        if self.check:
            # The dry run of a handover leaves nothing behind for the dry run of what follows.
            return obj | {"spec": obj["spec"] | {"replicas": replicas}}
        name = {key: obj[key] for key in ("apiVersion", "kind")} | {"metadata": {"name": obj["metadata"]["name"]}}
        self.cluster.apply(name | {"spec": {"replicas": replicas}}, HANDOVER_MANAGER)
        return obj

    def labels_of(self, rule: dict[str, Any]) -> dict[str, str]:
        return declared.as_text(rule["labels"], "The option labels of a prune rule") | self.owner

    def prune(self, rule: dict[str, Any], wanted: list[declared.Obj]) -> None:
        labels = self.labels_of(rule)
        items = self.cluster.list(rule["api_version"], rule["kind"], labels)
        names = {item["metadata"]["name"] for item in items}
        same_kind = [obj for obj in wanted if obj["kind"] == rule["kind"]]
        counting = [obj for obj in same_kind if obj["metadata"]["name"] in names or not declared.foreign(obj, labels)]
        for item in declared.outdated(items, rule["keep"], counting):
            self.cluster.remove(item)
            self.note(item, "removed", item, None)

    def absent(self) -> dict[str, Any]:
        objects = self.named("objects")
        exists = bool(self.cluster.read_namespace())
        if not exists:
            for obj in objects:
                self.note(obj, "absent", None, None)
            return self.result(exists)
        gone = self.remove(objects, report_absent=True)
        for rule in self.params["prune"]:
            listed = self.cluster.list(rule["api_version"], rule["kind"], self.labels_of(rule))
            gone += self.remove_found([item for item in listed if not any(declared.same_object(item, o) for o in gone)])
        if self.params["wait"]:
            self.cluster.wait_gone(gone, self.params["timeout"])
        return self.result(exists)

    def remove(self, objects: list[declared.Obj], *, report_absent: bool = False) -> list[declared.Obj]:
        """Remove what there is of ours, and return it, also what is on its way out already."""
        gone = []
        for obj in objects:
            found = self.cluster.find(obj, self.owner)
            gone += self.remove_found(found)
            if report_absent and all(declared.is_going(item) for item in found):
                self.note(obj, "absent", None, None)
        return gone

    def remove_found(self, found: list[declared.Obj]) -> list[declared.Obj]:
        for item in found:
            if not declared.is_going(item):
                self.cluster.remove(item)
                self.note(item, "removed", item, None)
        return found


def lasting(obj: declared.Obj | None) -> declared.Obj | None:
    return None if obj and declared.is_going(obj) else obj


def take_options(module: AnsibleK8SModule) -> dict[str, Any]:
    """Return the options, and leave nothing secret in those that Ansible shows with the result."""
    options = copy.deepcopy(module.params)
    module.params["secret_values"] = dict.fromkeys(options["secret_values"], declared.HIDDEN)
    for option in ("objects", "unwanted"):
        module.params[option] = [
            declared.hidden_data(obj) if obj.get("kind") == "Secret" else obj for obj in options[option]
        ]
    for option in ("generate", "secret_values"):
        options[option] = declared.by_key(options[option], option)
    # Ansible would replace them inside of every name, too: with the password "web", Deployment polls-web would come
    # back as polls-********, and nobody could wait for it. Nothing that is returned comes from a Secret.
    given = [str(value) for values in options["secret_values"].values() for value in values.values()]
    module._module.no_log_values.difference_update(given)
    return options


def argument_spec() -> dict[str, Any]:
    prune = {
        "api_version": {"type": "str", "required": True},
        "kind": {"type": "str", "required": True},
        "labels": {"type": "dict", "required": True},
        "keep": {"type": "int", "required": True},
    }
    return copy.deepcopy(AUTH_ARG_SPEC) | {
        "namespace": {"type": "str", "required": True},
        "objects": {"type": "list", "elements": "dict", "required": True},
        "unwanted": {"type": "list", "elements": "dict", "default": []},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "owner": {"type": "dict", "required": True},
        "generate": {"type": "dict", "default": {}},
        "secret_values": {"type": "dict", "default": {}, "no_log": True},
        "prune": {"type": "list", "elements": "dict", "default": [], "options": prune},
        "timeout": {"type": "int", "default": 120},
        "wait": {"type": "bool", "default": True},
    }


def run(module: AnsibleK8SModule, open_client: Callable[[AnsibleK8SModule], Any] = connect) -> dict[str, Any]:
    """Do what the options ask for and return the result. Raises Trouble or Refusal, with the sentence for the user."""
    options = take_options(module)
    if not options["namespace"]:
        raise declared.Refusal("The option namespace is empty. Name the namespace of the objects.")
    kubeconfig, context = required_connection(module.params, dict(os.environ))
    try:
        client = open_client(module)
    except Exception as error:
        raise Trouble(explain(error, kubeconfig, context)) from error
    work = Run(Cluster(client, options["namespace"], module.check_mode), options, module._diff)
    try:
        return work.present() if options["state"] == "present" else work.absent()
    except (HTTPError, OSError) as error:
        raise Trouble(explain(error, kubeconfig, context)) from error


def main() -> None:
    # no_log: the options would go to the system's log, and what a user puts into a manifest may be secret.
    module = AnsibleK8SModule(
        module_class=AnsibleModule, argument_spec=argument_spec(), supports_check_mode=True, no_log=True
    )
    # The client's own warnings about retries would end up in the task's output.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)
    try:
        result = run(module)
    except (Trouble, declared.Refusal) as trouble:
        module.fail_json(msg=str(trouble))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
