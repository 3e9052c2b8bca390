"""Lookup plugin that names a build context by its content."""

from __future__ import annotations

DOCUMENTATION = r"""
name: context_hash
short_description: Hash the content of a build context
version_added: 0.1.0
author: The Cloud Django authors
description:
  - Returns a SHA-256 over the files that a container build would be sent, so that the same content has the same name
    on each machine and any changed byte has another.
  - Counts are the relative paths, the bytes, the targets of symbolic links, and whether the owner may execute a file.
    Times, owners, other permission bits, empty directories and the order in which the file system lists them do not.
  - A C(.dockerignore) at the top of the context, or C(Dockerfile.dockerignore) in its place, is obeyed as Docker does,
    exceptions included. The C(Dockerfile) at the top counts even if it is ignored, because Docker reads it anyway.
options:
  _terms:
    description: Directories to hash. Each gives one result.
    type: list
    elements: path
    required: true
notes:
  - A path that does not exist or is no directory is an error, and so is a file that cannot be read.
"""

EXAMPLES = r"""
- name: Name an image by what goes into it
  ansible.builtin.debug:
    msg: "polls:{{ lookup('cloud_django.kubernetes.context_hash', '/src/polls')[:12] }}"
"""

RETURN = r"""
_list:
  description: The hashes, 64 hexadecimal digits each, in the order of the terms.
  type: list
  elements: str
"""

from pathlib import Path

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images import build_context


class LookupModule(LookupBase):
    """Shell around :func:`hash_context`."""

    def run(self, terms: list[str], variables: dict | None = None, **kwargs: object) -> list[str]:
        """Return one hash per term; raise AnsibleLookupError for a path that is no directory."""
        try:
            return [build_context.hash_context(Path(term).expanduser()) for term in terms]
        except build_context.ContextError as error:
            raise AnsibleLookupError(str(error)) from error
