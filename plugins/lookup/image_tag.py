"""Lookup plugin that computes the tag of an image from its build context and build arguments."""

DOCUMENTATION = r"""
name: image_tag
short_description: Compute the tag of an image from its build context and build arguments
version_added: 0.1.0
description:
  - Returns the same tag on each computer for the same content, and a different one for any changed byte or argument.
    An unchanged directory needs no build, and no tag can name an outdated image.
  - The tag depends on the relative paths, the bytes, the targets of symbolic links, and whether the owner may execute
    a file. Times, owners, other permission bits, empty directories, and the order of files do not matter.
  - Respects C(.dockerignore) or C(Dockerfile.dockerignore) at the top of the context as Docker does, including
    exceptions. Includes the C(Dockerfile) at the top even if it is ignored, because Docker reads it anyway.
options:
  _terms:
    description: Build contexts, which are directories with a C(Dockerfile). Each one has one result.
    type: list
    elements: path
    required: true
  arguments:
    description: Build arguments by name. The tag depends on them.
    type: dict
    default: {}
  full:
    description: Whether to return all 64 hexadecimal digits of the hash, for instance for a label, instead of 12.
    type: bool
    default: false
  dockerfile:
    description: Whether to fail if a build context has no C(Dockerfile).
    type: bool
    default: true
notes:
  - Fails if a path is not an existing directory, or if a file cannot be read. Fails before any file is read if a
    directory has no C(Dockerfile), or contains the user's home directory and has no C(.dockerignore).
"""

EXAMPLES = r"""
- name: Print the reference of an image
  ansible.builtin.debug:
    msg: "polls:{{ lookup('cloud_django.kubernetes.image_tag', '/src/polls', arguments={'VERSION': '1.0'}) }}"
"""

RETURN = r"""
_list:
  description: The tags, in the order of the terms.
  type: list
  elements: str
"""

import hashlib
from pathlib import Path

from ansible.errors import AnsibleLookupError
from ansible.plugins.filter.core import to_json
from ansible.plugins.lookup import LookupBase
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images import build_context


def hash_image(context: Path, arguments: dict[str, object], dockerfile: bool = True) -> str:
    """Return the SHA-256 of an image's build context and build arguments, in hexadecimal."""
    # JSON of the filter, because any other encoding would change the tags of all images.
    content = to_json([build_context.hash_context(context, dockerfile), arguments], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


class LookupModule(LookupBase):
    """Shell around :func:`hash_image`."""

    def run(self, terms: list[str], variables: dict | None = None, **kwargs: object) -> list[str]:
        """Return one tag per term. Raises AnsibleLookupError for a context that cannot be read."""
        self.set_options(var_options=variables, direct=kwargs)
        arguments, dockerfile = self.get_option("arguments"), self.get_option("dockerfile")
        length = 64 if self.get_option("full") else 12
        try:
            return [hash_image(Path(term).expanduser(), arguments, dockerfile)[:length] for term in terms]
        except build_context.ContextError as error:
            raise AnsibleLookupError(str(error)) from error
