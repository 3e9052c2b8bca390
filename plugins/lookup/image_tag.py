"""Lookup plugin that computes the tag of an image from its inputs of its build."""

DOCUMENTATION = r"""
name: image_tag
short_description: Compute the tag of an image from the inputs of its build
version_added: 0.1.0
description:
  - Returns the same tag on each computer for the same content, and a different one for any changed byte or argument.
    An unchanged directory needs no build, and no tag can name an outdated image.
  - The tag depends on the relative paths, the bytes, the targets of symbolic links, and whether the owner may execute
    a file. Times, owners, other permission bits, empty directories, and the order of files do not matter.
  - Respects C(<Dockerfile>.dockerignore) or else C(.dockerignore) at the top of the context as Docker does, including
    exceptions. Includes the Dockerfile even if it is ignored, because Docker reads it anyway.
options:
  _terms:
    description: Build contexts, which are directories. Each one has one result.
    type: list
    elements: path
    required: true
  arguments:
    description: Build arguments by name. The tag depends on them.
    type: dict
    default: {}
  file:
    description:
      - Path of the Dockerfile in the context, or beside the inventory if the context has no such file, or absolute.
      - V(python) is the Dockerfile of the role M(cloud_django.kubernetes.image#role). Its image contains no files of a
        context without C(.dockerignore) that only development needs, such as C(.git) and C(.venv).
      - The default is the variable C(image_file), or V(Dockerfile).
    type: str
  target:
    description: Stage of the Dockerfile to build. The default is the variable C(image_target).
    type: str
  platforms:
    description: Platforms of the image. The default is the variable C(image_platforms).
    type: list
    elements: str
  python:
    description: Arguments of the Dockerfile V(python). The default is the variable C(image_python).
    type: dict
  full:
    description: Whether to return all 64 hexadecimal digits of the hash, for instance for a label, instead of 12.
    type: bool
    default: false
  dockerfile:
    description: Whether there is a Dockerfile. If not, O(file), O(target), O(platforms), and O(python) are ignored.
    type: bool
    default: true
notes:
  - A task reads the files once, so its own loop must not change them.
  - Fails if a path is not an existing directory, or if a file cannot be read. Fails before any file is read if the
    Dockerfile is missing, or if a directory contains the user's home directory and has no C(.dockerignore).
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
import multiprocessing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.filter.core import to_json
from ansible.plugins.lookup import LookupBase
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.images import build_context

PYTHON = Path(__file__).resolve().parents[2] / "roles" / "image" / "files" / "python.Dockerfile"
PYTHON_RULES = PYTHON.with_name(f"{PYTHON.name}.dockerignore")
# Options whose defaults are variables of the role image, because an inventory names only the context and its arguments.
VARIABLES = {"file": "image_file", "target": "image_target", "platforms": "image_platforms", "python": "image_python"}


# Tags in the process of a task, which evaluates the name of the image several times.
_tags: dict[str, str] = {}


def hash_image(
    context: Path,
    arguments: dict[str, object],
    build: Mapping[str, Any] | None = None,
    inventory: Path | None = None,
) -> str:
    """Return the SHA-256 of the inputs of an image, in hexadecimal.

    Args:
        context: the build context.
        arguments: the build arguments.
        build: options `file`, `target`, `platforms`, and `python`. None without a Dockerfile.
        inventory: the directory of the inventory, which can have the Dockerfile.
    """
    files, inputs = hash_build(context, build, inventory)
    content = [files, arguments] + ([inputs] if inputs else [])
    # JSON of the filter, because any other encoding would change the tags of all images.
    return hashlib.sha256(to_json(content, sort_keys=True).encode()).hexdigest()


def hash_build(context: Path, build: Mapping[str, Any] | None, inventory: Path | None) -> tuple[str, dict[str, Any]]:
    """Return the hash of the build context, and the inputs that differ from those of a usual build, by name."""
    if build is None:
        return build_context.hash_context(context, None), {}
    inputs = {name: build[name] for name in ("target", "platforms") if build.get(name)}
    file = build.get("file") or build_context.DOCKERFILE.name
    if file == "python":
        inputs |= {"dockerfile": build_context.hash_file(PYTHON), "python": build.get("python") or {}}
        return build_context.hash_context(context, None, PYTHON_RULES), inputs
    path = build_context.find_dockerfile(context, file, inventory)
    if path.is_absolute():
        inputs["dockerfile"] = build_context.hash_file(path)
    elif path != build_context.DOCKERFILE:
        inputs["file"] = path.as_posix()
    return build_context.hash_context(context, path), inputs


class LookupModule(LookupBase):
    """Shell around :func:`hash_image`."""

    def run(self, terms: list[str], variables: dict | None = None, **kwargs: object) -> list[str]:
        """Return one tag per term. Raises AnsibleLookupError for a context that cannot be read."""
        self.set_options(var_options=variables, direct=kwargs)
        known = variables or {}
        build = {name: self.value(name, known) for name in VARIABLES} if self.get_option("dockerfile") else None
        inventory = Path(known["inventory_dir"]) if known.get("inventory_dir") else None
        length = 64 if self.get_option("full") else 12
        arguments = self.get_option("arguments")
        inputs = to_json([arguments, build, str(inventory)], sort_keys=True)
        # The main process runs all tasks, and a task can change the files.
        is_kept = multiprocessing.parent_process() is not None
        try:
            for term in terms:
                key = f"{term} {inputs}"
                if key not in _tags or not is_kept:
                    _tags[key] = hash_image(Path(term).expanduser(), arguments, build, inventory)
            return [_tags[f"{term} {inputs}"][:length] for term in terms]
        except build_context.ContextError as error:
            raise AnsibleLookupError(str(error)) from error

    def value(self, name: str, variables: dict) -> Any:
        """Return an option, or else its variable. None if neither is set."""
        given = self.get_option(name)
        return self._templar.template(variables.get(VARIABLES[name])) if given is None else given
