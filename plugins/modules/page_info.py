#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Verify that a release of a site answers."""

DOCUMENTATION = r"""
module: page_info
short_description: Verify that a release of a site answers
version_added: 0.1.0
description:
  - Requests a page at the public URL of a site, until the applied release answers. Certificates are verified.
  - Uses the proxies in the environment, except for the control node and the networks in C(no_proxy).
  - Almost any answer of the release is a success, such as a redirect to a login or status 404. Status 400, which Django
    returns for a wrong host, status 500 and higher, and a redirect of a page to itself are failures.
  - The request has the header C(X-Front-Proof) with O(configuration_hash), which is secret. A front with the same value
    adds the header C(X-Front-Release) with O(release) to the answer. See the role C(web).
  - If the URL does not lead to the release, the module requests the page from one of the pods through a port-forward.
    If the pod answers, the module succeeds with a warning about the URL.
extends_documentation_fragment: [kubernetes.core.k8s_auth_options, cloud_django.kubernetes.connection]
attributes:
  check_mode: {description: The module is read-only., support: full}
notes:
  - For a port-forward, a user needs the verb C(list) on pods, and C(create) and C(get) on C(pods/portforward).
options:
  url:
    description: Public URL of the page.
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
      - Whether answers name their release. If not, the module cannot identify the server at the URL, and also requests
        the page from one of the pods.
    type: bool
    default: true
  address:
    description:
      - Effect if the release does not answer at the URL. With V(try), the module warns if one of the pods answers
        through a port-forward. With V(require), it fails. V(skip) requests the page only from a pod.
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
    description: Port of the pods for requests.
    type: int
    required: true
  tls:
    description: Whether the port uses TLS.
    type: bool
    default: false
  timeout:
    description: Maximum number of seconds for all attempts at the URL.
    type: int
    default: 10
  local:
    description: Whether the cluster runs on the control node, so that no proxy can reach the page.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Verify that the release of the site answers
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
  description: Number of requests at the URL.
  type: int
  returned: success
  sample: 1
status:
  description: HTTP status of the answer of the release.
  type: int
  returned: success
  sample: 200
way:
  description: Source of the answer, V(address) for the URL or V(port-forward) for a pod.
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
    """Return the result of the module, and print its warning. Raises CloudDjangoError."""
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
