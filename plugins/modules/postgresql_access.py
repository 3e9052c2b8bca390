#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Manage a PostgreSQL database, its schema, roles, and grants, and the Secrets of the roles."""

DOCUMENTATION = r"""
module: postgresql_access
short_description: Manage a PostgreSQL database, its roles, grants, and Secrets
version_added: 0.1.0
description:
  - Reads the catalog of a server with C(psql) in a pod, compares it with the wanted state, and applies the differences
    in one transaction. Only C(CREATE DATABASE) runs outside of it, because PostgreSQL requires that.
  - Reverts manual changes of passwords, grants, owners, attributes such as C(SUPERUSER), and memberships, and creates
    missing roles. Roles that are not named here are not changed.
  - With O(access=given), uses login roles that exist, and changes nothing on the server. It tries each login, and
    writes the same Secrets.
  - Passwords reach the server only as SCRAM-SHA-256 verifiers, through the standard input of C(psql). They are in no
    argument list and in no log. One Secret per role stores the password, which has 32 characters if it is generated.
requirements:
  - PostgreSQL server >= 16
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode:
    description: >-
      Returns the planned changes without applying them. With O(client_pod), the client pod is created and deleted.
    support: full
  diff_mode: {description: "Shows the statements, without passwords and verifiers.", support: full}
options:
  namespace:
    description: Namespace of the pod and of the Secrets.
    type: str
    required: true
  labels:
    description: Labels of the Secrets. C(app.kubernetes.io/managed-by=cloud-django) marks managed Secrets.
    type: dict
    default: {}
  state:
    description:
      - V(absent) removes the Secrets, and with O(client_pod) also the database and its roles. The database of a server
        in the cluster is removed with its volume.
    type: str
    choices: [present, absent]
    default: present
  access:
    description:
      - V(managed) creates the database and its roles. V(given) tries the logins in O(roles), which exist already, from
        O(client_pod). With O(state=absent), it removes only their Secrets.
    type: str
    choices: [managed, given]
    default: managed
  pod:
    description: Pod of the server, in which the administrator connects through the socket.
    type: str
  container:
    description: Container of the server in O(pod).
    type: str
    default: postgresql
  client_pod:
    description:
      - Manifest of a pod with C(psql), for an external server. The pod is deleted after use. Its environment names the
        server, and its file C(/run/secrets/admin/password) contains the administrator's password. With O(access=given),
        it has no such file.
    type: dict
  required_secrets:
    description: Secrets that O(client_pod) mounts, each with its required keys.
    type: dict
    default: {}
  server_host:
    description: Host name of the server for clients, which the Secrets contain.
    type: str
    required: true
  server_port:
    description: Port of the server.
    type: int
    default: 5432
  ca_secret:
    description:
      - Name of the Secret with the server's certificate authority as C(tls.crt). Unset if clients verify nothing, or
        have the CA certificates in O(ca_file).
    type: str
  ca_file:
    description: Path of the CA certificates in the pods of clients, which the Secrets contain.
    type: path
    default: /run/secrets/database/ca.crt
  sslmode:
    description:
      - How clients use TLS, as in libpq. V(verify-full) checks the certificate and its host name, V(verify-ca) only the
        certificate. V(require) encrypts without a check, and V(disable) does not encrypt.
    type: str
    choices: [verify-full, verify-ca, require, disable]
    default: verify-full
  database:
    description: Name of the database.
    type: str
    required: true
  schema:
    description: Name of the schema in the database.
    type: str
    required: true
  owner:
    description: Name of the owner role of database and schema, which cannot log in. Not used with O(access=given).
    type: str
    default: ""
  roles:
    description: The login roles.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the login role.
        type: str
        required: true
      access:
        description:
          - V(owner) switches to O(owner) at login, V(write) reads and writes rows, and V(read) only reads rows.
        type: str
        choices: [owner, write, read]
        required: true
      secret:
        description:
          - Name of the Secret with the connection of the role, as single values C(host), C(port), C(database),
            C(schema), C(owner), C(username), C(password), C(sslmode), C(sslrootcert), and C(ca.crt).
          - Also as C(url) (postgres://) and C(uri) (postgresql://) with the password, as C(address) (postgres://)
            without it, and as C(service), a service file of libpq with a section C(default).
        type: str
        required: true
      password:
        description:
          - Password. Unset, the password in the Secret is used, or one is generated.
          - It must not end in a blank, and have no line break, because a service file of libpq holds it.
        type: str
      source:
        description: Secret and key of the password of a login that exists already, for O(access=given).
        type: dict
        suboptions:
          secret:
            description: Name of the Secret.
            type: str
            required: true
          key:
            description: Key of the password.
            type: str
            default: password
      connection_limit:
        description:
          - Maximum number of connections at the same time. V(-1) means no limit.
          - A lower number is relative to the connections that the server accepts. V(-15) leaves 15 to other roles.
        type: int
        default: -1
      settings:
        description: Session settings of the role, such as C(statement_timeout).
        type: dict
        default: {}
  extensions:
    description:
      - Required extensions. Missing ones are created in the schema. If the server lacks one, the module fails before
        its first change. With O(access=given), the database must have them.
    type: list
    elements: str
    default: []
  connections:
    description: Number of connections that the site may open. The module fails if the server accepts fewer.
    type: int
    default: 0
  expected_connections:
    description:
      - In check mode, the connection limit of a server that doesn't exist yet. The limit of an existing server is read
        from the server.
    type: int
    default: 100
"""

EXAMPLES = r"""
- name: Manage the database of the site
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

- name: Use a login that exists already
  cloud_django.kubernetes.postgresql_access:
    namespace: polls
    access: given
    client_pod: "{{ client_pod }}"
    server_host: db.example.org
    sslmode: require
    database: polls
    schema: public
    roles:
      - name: polls
        access: write
        secret: polls-database-app
        source: {secret: rds-polls, key: password}
"""

RETURN = r"""
changes:
  description: Changes, in check mode the planned ones, one phrase each.
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
