"""Lookup plugin that names an image by everything that goes into its build."""

DOCUMENTATION = r"""
name: image_tag
short_description: Compute the tag of an image from its build context and build arguments
version_added: 0.1.0
description:
  - Returns a tag that is the same on each machine for the same content, and another one for any changed byte or
    argument. An unchanged tree needs no build, and no tag can name a stale image.
  - Counts are the relative paths, the bytes, the targets of symbolic links, and whether the owner may execute a file.
    Times, owners, other permission bits, empty directories and the order in which the file system lists them do not.
  - A C(.dockerignore) at the top of the context, or C(Dockerfile.dockerignore) in its place, is obeyed as Docker does,
    exceptions included. The C(Dockerfile) at the top counts even if it is ignored, because Docker reads it anyway.
options:
  _terms:
    description: Build contexts, which are directories with a C(Dockerfile). Each gives one result.
    type: list
    elements: path
    required: true
  arguments:
    description: Build arguments by name. They count as content.
    type: dict
    default: {}
  full:
    description: Whether to return all 64 hexadecimal digits of the hash, as for a label, instead of the 12 of a tag.
    type: bool
    default: false
  dockerfile:
    description: Whether the build contexts need a C(Dockerfile).
    type: bool
    default: true
notes:
  - A path that does not exist or is no directory is an error, and so is a file that cannot be read. A directory without
    a C(Dockerfile), or one that holds the user's home and no C(.dockerignore), is an error before any of it is read.
"""

EXAMPLES = r"""
- name: Name an image by what goes into it
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
    """Return the SHA-256, in hexadecimal, of all that goes into an image."""
    # The filter's JSON, because another formula would give every image a new tag.
    content = to_json([build_context.hash_context(context, dockerfile), arguments], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


class LookupModule(LookupBase):
    """Shell around :func:`hash_image`."""

    def run(self, terms: list[str], variables: dict | None = None, **kwargs: object) -> list[str]:
        """Return one tag per term; raise AnsibleLookupError for a path that is no directory."""
        self.set_options(var_options=variables, direct=kwargs)
        arguments, dockerfile = self.get_option("arguments"), self.get_option("dockerfile")
        length = 64 if self.get_option("full") else 12
        try:
            return [hash_image(Path(term).expanduser(), arguments, dockerfile)[:length] for term in terms]
        except build_context.ContextError as error:
            raise AnsibleLookupError(str(error)) from error
