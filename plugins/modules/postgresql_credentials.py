#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Manage the passwords and certificates of a PostgreSQL server."""

DOCUMENTATION = r"""
module: postgresql_credentials
short_description: Manage the passwords and certificates of a PostgreSQL server
version_added: 0.1.0
description:
  - Manages three Secrets, which are named after the server. C(<name>-admin) has the administrator's C(username) and
    C(password), C(<name>-ca) our certificate authority, and C(<name>-tls) the certificate that the server shows.
  - What is missing is made, with a password of 32 characters; what is there is kept. A certificate is renewed when few
    days are left, or when it no longer fits its authority or the names of the server. An authority is renewed with its
    old key, so that those who trust the old one trust the new one too.
  - A server that runs is made to serve a renewed certificate without a restart, and its administrator's password is
    set again where it no longer is the one in the Secret.
  - No secret value is ever returned.
requirements:
  - cryptography >= 42.0.0
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode:
    description: Reads only, and tells what would be changed, also where the namespace does not exist.
    support: full
  diff_mode: {description: Shows what would change., support: none}
options:
  namespace:
    description: The namespace of the server.
    type: str
    required: true
  name:
    description: The name of the server; all its objects have it, or begin with it.
    type: str
    required: true
  labels:
    description: Labels of the Secrets. C(app.kubernetes.io/managed-by=cloud-django) marks them as ours.
    type: dict
    default: {}
  external:
    description: The server is not in the cluster. Only the Secrets with the administrator and the authority are kept.
    type: bool
    default: false
  admin_username:
    description: Name of the administrator's role.
    type: str
    default: postgres
  admin_password:
    description: Password of the administrator's role. Unset, the one in the Secret is kept, or one is generated.
    type: str
  ca_certificate:
    description: The authority of an external server, in PEM. Unset, the one in the Secret is kept.
    type: str
  dns_names:
    description: Names of the server in its certificate.
    type: list
    elements: str
    default: []
  ca_days:
    description: For how many days an authority is valid.
    type: int
    default: 3650
  certificate_days:
    description: For how many days a certificate is valid.
    type: int
    default: 365
  renew_days:
    description: With how many days left a certificate is renewed.
    type: int
    default: 30
  container:
    description: The container of the server in its first pod, C(<name>-0).
    type: str
    default: postgresql
  reload_timeout:
    description: How many seconds a renewed certificate may take until the server has it.
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
  description: What was changed, or would be.
  returned: success
  type: list
  elements: str
  sample: [make the administrator's password, renew the server's certificate since 12 days are left]
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import credentials

OPTIONS = options_of(DOCUMENTATION, admin_password=True)
main = main_of(OPTIONS, credentials.run)

if __name__ == "__main__":
    main()
