#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Manage the password and the certificates of a cache."""

DOCUMENTATION = r"""
module: cache_credentials
short_description: Manage the password and certificates of a cache
version_added: 0.1.0
description:
  - Manages the Secret of the clients of a Valkey or Redis server. Its keys are C(host), C(port), C(user), C(password),
    C(url), C(ca), the CA certificate, C(prefix), the prefix of all keys of this site, and C(salt), which makes a hash
    of the Secret useless for guesses of the password. The last two are generated once and never change.
  - A user can create the Secret of an external server with the key C(password), and then stays its owner. Otherwise an
    object of another owner fails before any change.
  - For a server in the cluster that uses TLS, also manages C(<name>-ca) with the certificate authority, and
    C(<name>-tls) with the server certificate.
  - Creates missing Secrets, with a password of 32 characters, and does not change valid ones. A certificate is renewed
    before it expires, and if its certificate authority or host names changed. A certificate authority is renewed with
    its old key, so that clients that trust the old certificate also trust the new one.
  - The pods of the server must restart after a change. M(cloud_django.kubernetes.apply) does that, because their
    configuration has changed.
  - Secret values are never returned.
requirements:
  - cryptography >= 42.0.0
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode:
    description: Returns the planned changes without applying them, even if the namespace does not exist.
    support: full
  diff_mode: {description: "Not supported, because the changes are secret.", support: none}
options:
  namespace:
    description: Namespace of the Secrets.
    type: str
    required: true
  name:
    description: Name of the Secret of the clients, and prefix of the names of the other Secrets.
    type: str
    required: true
  labels:
    description: Labels of the Secrets that identify the managed ones.
    type: dict
    required: true
  more_labels:
    description: Further labels of the Secrets.
    type: dict
    default: {}
  external:
    description: Whether the server is managed elsewhere. Then only the Secret of the clients is managed.
    type: bool
    default: false
  server_host:
    description: Host of the server for clients.
    type: str
    required: true
  server_port:
    description: Port of the server for clients.
    type: int
    default: 6379
  user:
    description: User of the clients.
    type: str
    required: true
  user_password:
    description: Password of the user. Unset, the password in the Secret is used, or one is generated.
    type: str
  tls:
    description: Whether clients use TLS.
    type: bool
    default: true
  ca_certificate:
    description: CA certificate of an external server, in PEM. Unset, the certificate in the Secret is used.
    type: str
  dns_names:
    description: DNS names in the server certificate.
    type: list
    elements: str
    default: []
  ca_days:
    description: Validity of a CA certificate in days.
    type: int
    default: 3650
  certificate_days:
    description: Validity of a server certificate in days.
    type: int
    default: 365
  renew_days:
    description: Days before its expiry when a server certificate is renewed.
    type: int
    default: 30
  claim:
    description: The claim of the server's volume. A claim that cannot get a volume fails before any change.
    type: dict
    suboptions:
      name:
        description: Name of the claim.
        type: str
        required: true
      size:
        description: Size of the volume.
        type: str
        required: true
      storage_class:
        description: Storage class. An empty value means the default of the cluster.
        type: str
        default: ""
"""

EXAMPLES = r"""
- name: Manage the Secrets of a cache
  cloud_django.kubernetes.cache_credentials:
    namespace: polls
    name: polls-cache
    labels:
      app.kubernetes.io/managed-by: cloud-django
      app.kubernetes.io/instance: polls
    server_host: polls-cache.polls.svc
    user: polls
    dns_names: [polls-cache, polls-cache.polls.svc]
"""

RETURN = r"""
changes:
  description: Changes, in check mode the planned ones.
  returned: success
  type: list
  elements: str
  sample: [create a certificate authority, create the server's certificate, create the password]
claim_bound:
  description: Whether the claim has a volume.
  returned: success
  type: bool
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.cache import credentials

OPTIONS = options_of(DOCUMENTATION, user_password=True)
main = main_of(OPTIONS, credentials.run)

if __name__ == "__main__":
    main()
