#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Refuse what a PostgreSQL server in a cluster could not work with, before anything is changed."""

DOCUMENTATION = r"""
module: postgresql_preflight
short_description: Check what a PostgreSQL server needs before anything is changed
version_added: 0.1.0
description:
  - Changes nothing. Returns which objects of the server exist, and whether the server runs.
  - Refuses in one sentence what could not work later. That is an object of the same name that is not ours, a Secret
    with missing keys, a storage class that does not exist, a volume that would have to shrink or to change its class,
    or a server that accepts fewer connections than the site may open.
  - No secret value is ever returned.
requirements:
  - cryptography >= 42.0.0
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: "Accepts that the namespace does not exist, and is the same otherwise.", support: full}
  diff_mode: {description: Changes nothing., support: none}
options:
  namespace:
    description: The namespace of the server.
    type: str
    required: true
  name:
    description: The name of the server; all its objects have it, or begin with it.
    type: str
    required: true
  external:
    description: The server is not in the cluster. Only its Secrets are checked.
    type: bool
    default: false
  labels:
    description:
      - Labels without which an object is not ours. C(app.kubernetes.io/managed-by=cloud-django) is always one of them.
    type: dict
    default: {}
  claim:
    description: The claim for the server's volume.
    type: dict
    suboptions:
      name:
        description: The name of the claim.
        type: str
        required: true
      size:
        description: How large the volume shall be.
        type: str
        required: true
      storage_class:
        description: The class of the volume; empty takes the cluster's default.
        type: str
        default: ""
  connections:
    description: The connections to a server in the cluster. Unset, they are not checked.
    type: dict
    suboptions:
      accepted:
        description: Connections that the server accepts.
        type: int
        required: true
      web:
        description: Connections that the web pods may open.
        type: int
        required: true
      jobs:
        description: Connections that jobs may open.
        type: int
        required: true
      reserved:
        description: Connections that are reserved for administrators and backups.
        type: int
        required: true
  state:
    description: V(present) refuses what could not work later. V(absent) only returns which objects exist and are ours.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Check that a server can be deployed
  cloud_django.kubernetes.postgresql_preflight:
    namespace: polls
    name: polls-postgresql
    claim:
      name: polls-postgresql
      size: 10Gi
"""

RETURN = r"""
namespace_exists:
  description: Whether the namespace exists.
  returned: success
  type: bool
server_ready:
  description: Whether the server accepts connections already, and its StatefulSet has nothing left to do.
  returned: success
  type: bool
claim_bound:
  description: Whether the server has its volume already.
  returned: success
  type: bool
objects:
  description: The objects of the server that exist and are ours, as C(Kind/name).
  returned: success
  type: list
  elements: str
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import preflight

OPTIONS = options_of(DOCUMENTATION)
main = main_of(OPTIONS, preflight.run)

if __name__ == "__main__":
    main()
