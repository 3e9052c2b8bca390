#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Prove that a release of a site answers."""

DOCUMENTATION = r"""
module: page_info
short_description: Prove that a release of a site answers
version_added: 0.1.0
description:
  - Requests a page at the public address of a site, until the release that was applied answers. Certificates are
    verified.
  - Proxies of the environment are used. This machine is reached directly, and so are the networks in C(no_proxy).
  - Any answer of the release counts, such as a redirect to a login or status 404. Status 400, which Django gives to a
    wrong host, those from 500 on, and a redirect of a page to itself do not.
  - The request has the header C(X-Front-Proof) with O(configuration_hash), which nobody else knows. A front that has
    the same value adds the header C(X-Front-Release) with O(release) to the answer. See the role C(web).
  - Where the address does not lead to the release, a port-forward to one of its pods shows whether it works. The module
    then succeeds with a warning about the address.
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: It only reads., support: full}
notes:
  - For a port-forward, a user needs the verb C(list) on pods, and C(create) and C(get) on C(pods/portforward).
options:
  url:
    description: Public address of the page.
    type: str
    required: true
  release:
    description: Name of the release, as M(cloud_django.kubernetes.apply) returns it.
    type: str
    required: true
  configuration_hash:
    description: Hash of the configuration of the release's pods, as M(cloud_django.kubernetes.apply) returns it.
    type: str
    required: true
  marked:
    description:
      - Whether an answer names its release. If not, what answers at the address is not known, and one of the pods is
        asked as well.
    type: bool
    default: true
  address:
    description:
      - What follows where the release does not answer at the address. V(try) is a warning if one of its pods answers
        through a port-forward, V(require) an error. V(skip) only asks a pod.
    type: str
    choices: [try, require, skip]
    default: try
  namespace:
    description: Namespace of the pods.
    type: str
    required: true
  labels:
    description: Labels of the pods.
    type: dict
    required: true
  port:
    description: Port of the pods that answers.
    type: int
    required: true
  tls:
    description: Whether that port speaks TLS.
    type: bool
    default: false
  timeout:
    description: How many seconds the page may take at most to come from the address, all attempts together.
    type: int
    default: 10
  local:
    description: Whether the page comes from a cluster on this machine, which no proxy reaches.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Prove that the release of the site answers
  cloud_django.kubernetes.page_info:
    url: https://polls.example.org/
    release: "{{ applied.releases[0].release }}"
    configuration_hash: "{{ applied.releases[0].configuration_hash }}"
    namespace: polls
    labels:
      app.kubernetes.io/component: web
    port: 8080
"""

RETURN = r"""
attempts:
  description: How many times the address was asked.
  type: int
  returned: success
  sample: 1
status:
  description: Status of the answer that proves it.
  type: int
  returned: success
  sample: 200
way:
  description: Where that answer came from, V(address) or V(port-forward).
  type: str
  returned: success
  sample: address
"""

from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import proxies
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import connect
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, k8s_module, options_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects.manifests import CONFIGURATION, RELEASE
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads.page import prove

OPTIONS = options_of(DOCUMENTATION)


def run(module: Any) -> dict[str, Any]:
    """Return what the module returns, and show its warning. Raises CloudDjangoError."""
    params = module.params
    proxies.reach_directly(params["url"], local=params["local"])
    annotations = {RELEASE: params["release"], CONFIGURATION: params["configuration_hash"]}
    proof = prove(params | {"annotations": annotations}, lambda: connect(module))
    if proof.warning:
        module.warn(proof.warning)
    return {"attempts": proof.attempts, "status": proof.status, "way": proof.way}


def main() -> None:
    """Run the module."""
    module = k8s_module(OPTIONS)
    conclude(module, lambda: run(module))


if __name__ == "__main__":
    main()
