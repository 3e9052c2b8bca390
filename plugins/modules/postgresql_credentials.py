#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Manage the passwords and certificates of a PostgreSQL server."""

DOCUMENTATION = r"""
module: postgresql_credentials
short_description: Manage the passwords and certificates of a PostgreSQL server
version_added: 0.1.0
description:
  - Manages three Secrets, whose names begin with the name of the server. C(<name>-admin) has the C(username) and
    C(password) of the administrator, C(<name>-ca) the certificate authority, and C(<name>-tls) the server certificate.
  - Creates missing Secrets, with a password of 32 characters, and does not change valid ones. A certificate is renewed
    before it expires, and if its certificate authority or host names changed. A certificate authority is renewed with
    its old key, so that clients that trust the old certificate also trust the new one.
  - A running server loads a renewed certificate without a restart. The password of its administrator is set if it
    differs from the one in the Secret.
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
    description: Namespace of the server.
    type: str
    required: true
  name:
    description: Name of the server, and prefix of the names of its objects.
    type: str
    required: true
  labels:
    description: Labels of the Secrets. C(app.kubernetes.io/managed-by=cloud-django) marks managed Secrets.
    type: dict
    default: {}
  external:
    description: Whether the server is outside of the cluster. Then only C(<name>-admin) and C(<name>-ca) are managed.
    type: bool
    default: false
  administrator:
    description: Whether to manage the Secret of an external server's administrator. Without it, only that of the CA.
    type: bool
    default: true
  authority:
    description:
      - Whether to manage the Secret of an external server's CA. Without it, clients verify nothing, or use the bundle
        of their image.
    type: bool
    default: true
  admin_username:
    description: Name of the administrator's role.
    type: str
    default: postgres
  admin_password:
    description: Password of the administrator's role. Unset, the password in the Secret is used, or one is generated.
    type: str
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
  container:
    description: Container of the server in its first pod, C(<name>-0).
    type: str
    default: postgresql
  reload_timeout:
    description: Maximum number of seconds to wait until the server has loaded a renewed certificate.
    type: int
    default: 150
"""

EXAMPLES = r"""
- name: Manage the Secrets of a server
  cloud_django.kubernetes.postgresql_credentials:
    namespace: polls
    name: polls-postgresql
    labels:
      app.kubernetes.io/managed-by: cloud-django
    dns_names: [polls-postgresql, polls-postgresql.polls.svc]
"""

RETURN = r"""
changes:
  description: Changes, in check mode the planned ones.
  returned: success
  type: list
  elements: str
  sample: [create the administrator's password, renew the server's certificate because 12 days are left]
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import credentials

OPTIONS = options_of(DOCUMENTATION, admin_password=True)
main = main_of(OPTIONS, credentials.run)

if __name__ == "__main__":
    main()
