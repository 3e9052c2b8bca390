#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Check the prerequisites of a PostgreSQL server before any change."""

DOCUMENTATION = r"""
module: postgresql_preflight
short_description: Check the prerequisites of a PostgreSQL server before any change
version_added: 0.1.0
description:
  - Returns which objects of the server exist, and whether the server runs. The module is read-only.
  - Fails for an unmanaged object of the same name, a Secret with missing keys, or a missing storage class.
  - A volume that would have to shrink or to change its class is an error.
  - A server that accepts fewer connections than the site may open is an error, too.
  - Secret values are never returned.
requirements:
  - cryptography >= 42.0.0
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: "The module is read-only. In check mode, the namespace may be missing.", support: full}
  diff_mode: {description: The module changes no objects., support: none}
options:
  namespace:
    description: Namespace of the server.
    type: str
    required: true
  name:
    description: Name of the server, and prefix of the names of its objects.
    type: str
    required: true
  external:
    description: Whether the server is outside of the cluster. Then only its Secrets are checked.
    type: bool
    default: false
  labels:
    description:
      - Labels of objects that this collection manages. C(app.kubernetes.io/managed-by=cloud-django) is always required.
    type: dict
    default: {}
  claim:
    description: PersistentVolumeClaim of the server.
    type: dict
    suboptions:
      name:
        description: Name of the claim.
        type: str
        required: true
      size:
        description: Size of the volume, for example V(10Gi).
        type: str
        required: true
      storage_class:
        description: Storage class of the volume. Empty uses the default class of the cluster.
        type: str
        default: ""
  connections:
    description: Numbers of connections to a server in the cluster. Unset, they are not checked.
    type: dict
    suboptions:
      accepted:
        description: Number of connections that the server accepts.
        type: int
        required: true
      web:
        description: Number of connections that the web pods may open.
        type: int
        required: true
      processes:
        description: Number of connections that workers and schedules may open.
        type: int
        default: 0
      jobs:
        description: Number of connections that Jobs may open.
        type: int
        required: true
      reserved:
        description: Number of connections that are reserved for administrators and backups.
        type: int
        required: true
  state:
    description: V(present) checks the prerequisites. V(absent) only returns the managed objects that exist.
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
  description: Whether the server accepts connections and its StatefulSet is rolled out.
  returned: success
  type: bool
claim_bound:
  description: Whether the claim of the server is bound to a volume.
  returned: success
  type: bool
objects:
  description: Existing managed objects of the server, as C(Kind/name).
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
