#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Apply all objects of a role in one task, and touch nothing that is not ours."""

DOCUMENTATION = r"""
module: apply
short_description: Apply the objects of one role together
version_added: 0.1.0
description:
  - Applies a list of manifests by server-side apply, with one field manager for ever, to one namespace, or to several
    namespaces and the cluster as a whole. The objects are looked at first. If one of them exists and is somebody
    else's, nothing is changed.
  - Takes back fields that somebody else changed by hand. Fields that the manifests do not name are left alone.
  - Makes random passwords and keys once, keeps them in their Secret, and never returns or shows the content of
    a Secret.
  - Sees to it that pods are replaced when, and only when, a Secret or ConfigMap that they read has another content.
  - In check mode on a cluster that has no such namespace yet, it says what would be made.
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode:
    description: Asks the API server for a dry run, so that it reports what would change and what would be refused.
    support: full
  diff_mode: {description: Shows each changed object. Of a Secret it shows which keys differ., support: full}
notes:
  - A user needs the verbs C(get), C(list), C(create), C(patch) and C(delete) on the kinds, and C(get) on namespaces.
options:
  namespace:
    description:
      - Namespace of the objects, which then all belong to it. It must exist, except in check mode.
      - If it is empty, each manifest names its namespace, unless it belongs to none. A namespace must exist or be
        among O(objects), before what belongs to it.
    type: str
    default: ""
  objects:
    description:
      - The manifests, in the order in which they are applied. An empty list is done at once.
      - A Job gets a hash of its content at the end of its name, since its template cannot be changed. One that is there
        is left alone, and one that has failed is made again.
      - An object that is being deleted is waited for and made anew.
      - A Namespace that already has everything that its manifest names is not applied, since a user who deploys into it
        may not be allowed to.
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
  leave_foreign:
    description:
      - Kinds whose objects are left as they are where they exist and are somebody else's. Those of other kinds make the
        task fail.
    type: list
    elements: str
    default: []
  configuration_hash:
    description:
      - Whether the pod template of a workload gets a hash of the Secrets and ConfigMaps that its pods read, so that
        pods are replaced when these change. Turn it off for a program that loads them again by itself.
    type: bool
    default: true
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
    description:
      - Old objects to remove after the others were applied. All of them are removed when O(state=absent). Needs
        O(namespace).
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
  node_port:
    description:
      - Port of the nodes for a Service of a later task. If another Service has the port, nothing is changed. This is
        checked if one of O(objects) is a Namespace or does not exist yet.
      - The ports of Services among O(objects) are checked in any case.
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
        description: Type of the Service. Only V(NodePort) is checked.
        type: str
        required: true
      number:
        description: The port. V(0) checks nothing.
        type: int
        required: true
  rehearsal:
    description:
      - Whether the PostgreSQL server of the StatefulSet among O(objects) is started in a pod of its own, on an empty
        volume, before anything is changed. V(changed) does so if a StatefulSet that exists gets other settings or
        another image, V(new) also for one that does not exist. Nothing is started in check mode.
      - A warning says if there is no room for this pod.
    type: str
    choices: ["", changed, new]
    default: ""
  wait:
    description:
      - Whether to wait, when O(state=absent), until the objects are gone with their pods. The wait ends early where it
        is hopeless, as for a claim that another pod uses.
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
  description:
    - What became of each object, in the order in which they were given, then the pruned ones.
    - Each has its C(kind) and C(name), and an C(action), one of V(created), V(changed), V(unchanged), V(removed),
      V(absent), V(left).
  type: list
  elements: dict
  returned: success
  sample: [{kind: ConfigMap, name: polls-web, action: unchanged}]
unfinished:
  description:
    - The workloads among the objects that are not where they should be yet, as M(cloud_django.kubernetes.rollout) takes
      them to wait for. Empty in check mode.
  type: list
  elements: dict
  returned: when O(state=present)
  sample: [{kind: Deployment, name: polls-web}]
releases:
  description:
    - Each workload whose pod template has the annotation C(cloud-django/release), which is filled in with a hash of
      the images and the configuration of its pods, whatever its value was.
    - The annotation C(cloud-django/configuration-hash) of the same pods is the other value.
  type: list
  elements: dict
  returned: when O(state=present)
  sample: [{kind: Deployment, name: polls-web, release: 0b9c..., configuration_hash: 41ac...}]
exists:
  description: Whether the namespace exists, or all of them, before the run.
  type: bool
  returned: success
"""

import copy
import functools
from collections.abc import Callable
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import Client, connect
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, k8s_module, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import node_ports, secrets
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.reconcile import Run
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import rehearsal
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import readiness
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

OPTIONS = options_of(DOCUMENTATION, secret_values=True)


def take_options(module: AnsibleK8SModule) -> dict[str, Any]:
    """Return the options, and leave nothing secret in those that Ansible shows with the result."""
    options = copy.deepcopy(module.params)
    module.params["secret_values"] = dict.fromkeys(options["secret_values"], secrets.HIDDEN)
    for option in ("objects", "unwanted"):
        module.params[option] = [secrets.hide(obj) if obj.get("kind") == "Secret" else obj for obj in options[option]]
    for option in ("generate", "secret_values"):
        options[option] = secrets.by_key(options[option], option)
    # Ansible would replace them inside of every name, too: with the password "web", Deployment polls-web would come
    # back as polls-********, and nobody could wait for it. Nothing that is returned comes from a Secret.
    given = [str(value) for values in options["secret_values"].values() for value in values.values()]
    module._module.no_log_values.difference_update(given)
    return options


def run(module: AnsibleK8SModule, open_client: Callable[..., Client] = connect) -> dict[str, Any]:
    """Do what the options ask for and return the result. Raises CloudDjangoError, with the sentence for the user."""
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
    # no_log: the options would go to the system's log, and what a user puts into a manifest may be secret.
    module = k8s_module(OPTIONS, no_log=True)
    conclude(module, lambda: run(module))


if __name__ == "__main__":
    main()
