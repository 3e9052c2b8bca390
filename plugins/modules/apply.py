#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Apply all objects of a role in one task, and change no object that another client manages."""

DOCUMENTATION = r"""
module: apply
short_description: Apply the objects of one role together
version_added: 0.1.0
description:
  - Applies a list of manifests by server-side apply with a fixed field manager. The objects are in one namespace, in
    several namespaces, or cluster-scoped. Existing objects are checked first. If one of them has another owner, no
    object is changed.
  - Reverts manual changes to fields in the manifests. Other fields are left unchanged.
  - Generates random passwords and keys once and stores them in their Secret. The content of a Secret is never returned
    or shown.
  - Replaces pods if, and only if, the content of a Secret or ConfigMap that they read changes.
  - In check mode, also works if the namespace does not exist yet, and reports the objects that would be created.
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode:
    description: Sends dry-run requests to the API server, so that it reports changes and errors.
    support: full
  diff_mode: {description: "Shows each changed object. Of a Secret, shows only which keys differ.", support: full}
notes:
  - Requires the verbs C(get), C(list), C(create), C(patch), and C(delete) on the kinds, and C(get) on namespaces.
options:
  namespace:
    description:
      - Namespace of all objects. It must exist, except in check mode.
      - If empty, each manifest that is not cluster-scoped must have a namespace. Each namespace must exist, or be
        listed in O(objects) before its objects.
    type: str
    default: ""
  objects:
    description:
      - Manifests, in the order in which they are applied. An empty list has no effect.
      - The name of a Job gets a hash of its content as its suffix, because the template of a Job cannot be changed. An
        existing Job is left unchanged, and a failed one is recreated. The hash includes the Secrets and ConfigMaps that
        the pod reads, except optional ones.
      - If an object is being deleted, the task waits until it is gone and creates it again.
      - A Namespace that already matches its manifest is not applied, because a deployer account may lack the
        permission.
    type: list
    elements: dict
    required: true
  unwanted:
    description:
      - Objects to remove when O(state=present), for instance those of a disabled feature. They need only apiVersion,
        kind, and name. Objects with other owners, and kinds that the cluster does not have, are ignored. The task does
        not wait until the objects are gone.
    type: list
    elements: dict
    default: []
  keep_unwanted:
    description:
      - Whether to keep O(unwanted) as long as a workload in O(objects) is unfinished. Remove them in a later task,
        after the rollout.
    type: bool
    default: false
  state:
    description:
      - V(present) applies the objects. V(absent) removes the objects that have the owner's labels, including Jobs with
        other content, and waits until they and their pods are gone. The manifests then need only apiVersion, kind, and
        name.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description: Labels that identify the managed objects, at least one. They are added to each manifest.
    type: dict
    required: true
  leave_foreign:
    description:
      - Kinds whose existing objects with other owners are left unchanged. For other kinds, such an object makes the
        task fail.
    type: list
    elements: str
    default: []
  configuration_hash:
    description:
      - Whether to add a hash of the Secrets and ConfigMaps that pods read to their pod template. A change then replaces
        the pods. Disable it for programs that reload their configuration.
    type: bool
    default: true
  generate:
    description:
      - Random values for Secrets in O(objects), by Secret and key, each with its number of letters and digits.
        Existing values are kept. If two runs generate a value at the same time, the later one fails.
    type: dict
    default: {}
  secret_values:
    description:
      - Given values for Secrets in O(objects), by Secret and key. They take precedence over random values.
      - Pass passwords here instead of in a manifest, because Ansible prints manifests in errors about options.
    type: dict
    default: {}
  compose:
    description:
      - Values for Secrets in O(objects), by Secret and key, as strings with placeholders such as C(${database.url}) and
        C(${django.secret_key|json}). A placeholder names a group of O(sources) and one of its keys.
      - Filters are C(url) (percent-encoded), C(json) (a literal that Python, JSON, and TOML read), C(list) (a literal
        of a list), and C(ini) (with C(%) doubled). Without a filter, lists join with a comma.
      - Any other C($) stays as it is. If a composed value changes, the pods that read it are replaced.
    type: dict
    default: {}
  sources:
    description:
      - Sources of placeholders, by group. Each has a C(secret), and C(keys) with the key of the Secret for each key of
        the group, or C(values) with a string or a list for each key.
      - A Secret can be one of O(objects), also with generated values. Others are read from the namespace.
      - In check mode, a Secret or a key that an earlier role would create may be missing. The composed value then
        counts as changed.
    type: dict
    default: {}
  required:
    description:
      - Keys that Secrets must have. If one is missing, the task fails before its first change. Requires O(namespace).
      - In check mode, they may be missing if the namespace does not exist yet, or if an earlier role would create them.
      - A Secret may be missing if one of O(objects) is a custom resource that contains its name, such as an
        ExternalSecret, because a controller then creates the Secret later.
    type: list
    elements: dict
    default: []
    suboptions:
      secret:
        description: Name of the Secret.
        type: str
        required: true
      key:
        description: Key that the Secret must have. If empty, the Secret only has to exist.
        type: str
        default: ""
      reason:
        description: The thing that needs the key, for the error, such as the name of an environment variable.
        type: str
        required: true
  prune:
    description:
      - Old objects to remove after the other objects are applied. When O(state=absent), all of them are removed.
        Requires O(namespace).
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
        description: Labels of the objects, in addition to those of the owner.
        type: dict
        required: true
      keep:
        description: Number of objects to keep, the youngest first. Those in O(objects) are always kept.
        type: int
        required: true
      first:
        description:
          - Whether to remove the objects before the others are applied, and to wait until they and their pods are gone.
            Set it if two of them must never run at the same time.
        type: bool
        default: false
      together:
        description: Managed objects to remove together with each of them.
        type: list
        elements: dict
        default: []
        suboptions:
          api_version:
            description: API version of the kind.
            type: str
            required: true
          kind:
            description: Kind of the object.
            type: str
            required: true
          name:
            description: Name of the object. If empty, it is that of the removed object.
            type: str
            default: ""
  node_port:
    description:
      - Node port for a Service of a later task. If another Service uses the port, the task fails before its first
        change. This is checked if one of O(objects) is a Namespace or does not exist yet.
      - The node ports of Services in O(objects) are always checked.
    type: dict
    suboptions:
      namespace:
        description: Namespace of the Service.
        type: str
        required: true
      service:
        description: Name of the Service.
        type: str
        required: true
      type:
        description: Type of the Service. Only the port of a V(NodePort) Service is checked.
        type: str
        required: true
      number:
        description: The port. V(0) disables the check.
        type: int
        required: true
  rehearsal:
    description:
      - Whether to test the PostgreSQL server of the StatefulSet in O(objects) in a separate pod with an empty volume
        before the first change. V(changed) tests new settings or a new image of an existing StatefulSet. V(new) also
        tests a StatefulSet that does not exist yet. In check mode, no pod is started.
      - Warns if the cluster has no resources for this pod.
    type: str
    choices: ["", changed, new]
    default: ""
  wait:
    description:
      - Whether to wait, when O(state=absent), until the objects and their pods are gone. The wait ends early if it
        cannot succeed, for instance for a claim that another pod uses.
    type: bool
    default: true
  timeout:
    description: Seconds to wait until removed objects and their pods are gone.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Apply a site's settings and key
  cloud_django.kubernetes.apply:
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

- name: Apply a Secret with a configuration file that contains another Secret's value
  cloud_django.kubernetes.apply:
    namespace: polls
    owner:
      app.kubernetes.io/managed-by: cloud-django
      app.kubernetes.io/instance: polls
    objects:
      - apiVersion: v1
        kind: Secret
        metadata:
          name: polls-files
    compose:
      polls-files:
        local.py: |
          SECRET_KEY = ${django.secret_key|json}
          ALLOWED_HOSTS = ${site.hosts|list}
    sources:
      django: {secret: polls-web, keys: {secret_key: secret-key}}
      site: {values: {hosts: [polls.example.org]}}
"""

RETURN = r"""
objects:
  description:
    - The objects in the given order, then the pruned ones.
    - Each has a C(kind), a C(name), and an C(action), one of V(created), V(changed), V(unchanged), V(removed),
      V(absent), or V(left).
  type: list
  elements: dict
  returned: success
  sample: [{kind: ConfigMap, name: polls-web, action: unchanged}]
unfinished:
  description:
    - The workloads whose rollout is not complete, in the format of M(cloud_django.kubernetes.rollout). Empty in check
      mode.
  type: list
  elements: dict
  returned: when O(state=present)
  sample: [{kind: Deployment, name: polls-web}]
releases:
  description:
    - Workloads whose pod template has the annotation C(cloud-django/release). The task replaces its value with a hash
      of the images and the configuration of the pods.
    - C(configuration_hash) is the annotation C(cloud-django/configuration-hash) of the same pods.
  type: list
  elements: dict
  returned: when O(state=present)
  sample: [{kind: Deployment, name: polls-web, release: 0b9c..., configuration_hash: 41ac...}]
exists:
  description: Whether all namespaces of the objects existed before the task.
  type: bool
  returned: success
"""

import copy
import functools
from collections.abc import Callable
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client, connect
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, k8s_module, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import node_ports, secrets, sources
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.reconcile import Run
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import rehearsal
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import readiness
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

# `required` names Secrets, and has no values of them.
OPTIONS = options_of(DOCUMENTATION, secret_values=True, compose=True, sources=True, secret=False)
# Options with values of Secrets, by Secret or group.
SECRET_OPTIONS = ("secret_values", "compose", "sources")


def take_options(module: AnsibleK8SModule) -> dict[str, Any]:
    """Return the options, and remove secrets from the copy that Ansible shows with the result."""
    options = copy.deepcopy(module.params)
    for option in SECRET_OPTIONS:
        module.params[option] = dict.fromkeys(options[option], secrets.HIDDEN)
    for option in ("objects", "unwanted"):
        module.params[option] = [secrets.hide(obj) if obj.get("kind") == "Secret" else obj for obj in options[option]]
    for option in ("generate", "secret_values", "compose"):
        options[option] = secrets.by_key(options[option], option)
    # Otherwise Ansible would also mask secrets in names: with the password "web", it would return Deployment polls-web
    # as polls-********, and later tasks would fail. The result has no content of Secrets.
    given = {text for option in SECRET_OPTIONS for text in sources.strings(options[option])}
    module._module.no_log_values.difference_update(given)
    return options


def run(module: AnsibleK8SModule, open_client: Callable[..., Client] = connect) -> dict[str, Any]:
    """Return the module's result. Raises CloudDjangoError with a message for the user."""
    options = take_options(module)
    client = open_client(module, module.check_mode)
    guards = (
        functools.partial(node_ports.refuse_taken, options["node_port"]),
        functools.partial(rehearsal.refuse_settings, options["rehearsal"], module.warn),
    )
    work = Run(client, options, readiness.is_rolled_out, readiness.job_failed, module._diff, guards)
    return work.present() if options["state"] == "present" else work.absent()


def main() -> None:
    """Run the module."""
    # no_log, because the options would appear in the system log, and a user's manifest may contain secrets.
    module = k8s_module(OPTIONS, no_log=True)
    conclude(module, lambda: run(module))


if __name__ == "__main__":
    main()
