#!/usr/bin/python
# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Request a page of a web site until it answers."""

DOCUMENTATION = r"""
module: page_info
short_description: Request a page until the site answers
version_added: 0.1.0
description:
  - Sends a GET request for a page, and tries again until the answer has the status 200.
  - Proxies of the environment are used, and certificates are verified. This machine is reached directly, and so are the
    networks in C(no_proxy).
attributes:
  check_mode: {description: It only reads., support: full}
options:
  url:
    description: Address of the page.
    type: str
    required: true
  timeout:
    description: How many seconds the page may take at most to answer, all attempts together.
    type: int
    default: 30
  local:
    description: Whether the page comes from a cluster on this machine, which no proxy reaches.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check that the site answers
  cloud_django.kubernetes.page_info:
    url: https://polls.example.org/readyz
"""

RETURN = r"""
attempts:
  description: How many requests it took.
  type: int
  returned: success
  sample: 1
"""

import time
from collections.abc import Callable

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api import proxies
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import cause_of
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.module import conclude, options_of

# Seconds for one attempt, and between two.
ATTEMPT = 10
PAUSE = 1.0


def fetch(url: str, timeout: float) -> int:
    """Return the status of a page. Raises whatever the network raises, and HTTPError for a status of failure."""
    with open_url(url, headers={"Accept": "*/*"}, timeout=timeout, follow_redirects="safe") as answer:
        return answer.status


def request(url: str, timeout: float, get: Callable[[str, float], int] = fetch, pause: float = PAUSE) -> int:
    """Return how many attempts it took until the page came. Raises CloudDjangoError when the time is over."""
    deadline = time.monotonic() + timeout
    attempts = 0
    while True:
        attempts += 1
        try:
            status = get(url, max(1.0, min(ATTEMPT, deadline - time.monotonic())))
            if status == 200:
                return attempts
            cause = f"it answers with the status {status}"
        # What a URL, a proxy or a certificate can raise is no one family of errors.
        except Exception as error:
            cause = cause_of(error)
        if time.monotonic() + pause >= deadline:
            raise CloudDjangoError(
                f"The page {url}{proxies.through(url)}",
                f"does not come within {timeout:g} s ({attempts} attempts): {cause}",
                "Check that this machine reaches that address"
                + (", or name its host in no_proxy" if proxies.through(url) else "")
                + ", then run the playbook again",
            )
        time.sleep(pause)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(options_of(DOCUMENTATION), supports_check_mode=True)
    proxies.reach_directly(module.params["url"], local=module.params["local"])
    conclude(module, lambda: {"attempts": request(module.params["url"], module.params["timeout"])})


if __name__ == "__main__":
    main()
