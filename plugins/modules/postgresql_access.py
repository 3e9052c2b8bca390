#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Make a database, its schema, roles and grants what they shall be, and keep the Secrets of the roles."""

DOCUMENTATION = r"""
module: postgresql_access
short_description: Keep a PostgreSQL database, its roles, grants and their Secrets
version_added: 0.1.0
description:
  - Reads a server's catalog with C(psql) in a pod, compares it with what is wanted, and makes the difference in one
    transaction. Only C(CREATE DATABASE) stands outside of it, since PostgreSQL wants it so.
  - What somebody changed by hand is mended. That is a password, a missing or surplus grant, an owner, an attribute such
    as SUPERUSER, a membership, a missing role. Roles that are not named here are left alone.
  - Passwords reach the server as SCRAM-SHA-256 verifiers only, through the standard input of C(psql), so that they are
    in no argument list and in no log. They are kept in one Secret per role, generated with 32 characters unless given.
requirements:
  - A server of PostgreSQL 16 or newer
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode:
    description: >-
      Reads only, and tells what would be changed. With O(client_pod) the pod that reads is made, and removed again.
    support: full
  diff_mode: {description: "Shows the statements, without passwords and verifiers.", support: full}
options:
  namespace:
    description: The namespace of the pod and of the Secrets.
    type: str
    required: true
  labels:
    description: Labels of the Secrets. C(app.kubernetes.io/managed-by=cloud-django) marks them as ours.
    type: dict
    default: {}
  state:
    description:
      - V(absent) removes the Secrets, and with O(client_pod) the database and its roles as well. Those of a server in
        the cluster go with its volume.
    type: str
    choices: [present, absent]
    default: present
  pod:
    description: The pod in which the server runs, and where the administrator may enter over the socket.
    type: str
  container:
    description: The container of the server in O(pod).
    type: str
    default: postgresql
  client_pod:
    description:
      - The manifest of a pod with C(psql), for a server outside of the cluster. It is made, used and removed. Its
        environment names the server, and the file C(/run/secrets/admin/password) the administrator's password.
    type: dict
  required_secrets:
    description: Secrets that O(client_pod) mounts, each with the keys that it must have.
    type: dict
    default: {}
  server_host:
    description: Name of the server as clients reach it, for the Secrets.
    type: str
    required: true
  server_port:
    description: Port of the server.
    type: int
    default: 5432
  ca_secret:
    description: Name of the Secret with the server's certificate authority as C(tls.crt).
    type: str
    required: true
  database:
    description: Name of the database.
    type: str
    required: true
  schema:
    description: Name of the schema in it.
    type: str
    required: true
  owner:
    description: Name of the role that owns database and schema, and that cannot log in.
    type: str
    required: true
  roles:
    description: The roles that log in.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the role.
        type: str
        required: true
      access:
        description:
          - V(owner) becomes the owner when it logs in, V(write) may read and write rows, V(read) may read them.
        type: str
        choices: [owner, write, read]
        required: true
      secret:
        description: Name of the Secret for those who log in as this role.
        type: str
        required: true
      password:
        description: Password. Unset, the one in the Secret is kept, or one is generated.
        type: str
      connection_limit:
        description:
          - How many connections it may have at the same time; V(-1) is no limit.
          - A number below that leaves so many of those that the server accepts to others; V(-15) leaves 15.
        type: int
        default: -1
      settings:
        description: Settings of its sessions, such as C(statement_timeout).
        type: dict
        default: {}
  extensions:
    description: Extensions that the database has to have. They are made in the schema.
    type: list
    elements: str
    default: []
  connections:
    description: How many connections will be needed. More than the server accepts is refused.
    type: int
    default: 0
  expected_connections:
    description:
      - How many connections a server will accept that the run makes which a dry run foretells.
      - Once there is one it is asked.
    type: int
    default: 100
"""

EXAMPLES = r"""
- name: Keep the database of the site
  cloud_django.kubernetes.postgresql_access:
    namespace: polls
    pod: polls-postgresql-0
    server_host: polls-postgresql.polls.svc
    ca_secret: polls-postgresql-ca
    database: polls
    schema: polls
    owner: polls_owner
    roles:
      - name: polls_app
        access: write
        secret: polls-database-app
        connection_limit: 32
"""

RETURN = r"""
changes:
  description: What was changed, or would be, one sentence each.
  returned: success
  type: list
  elements: str
  sample: [grant INSERT on table polls.polls_choice to polls_app]
"""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import main_of, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.postgresql import access

OPTIONS = options_of(DOCUMENTATION, password=True, secret=False, ca_secret=False, required_secrets=False)
main = main_of(OPTIONS, access.run, required_one_of=[("pod", "client_pod")])

if __name__ == "__main__":
    main()
