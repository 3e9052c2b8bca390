# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Filter that finds where the front gets the files that it serves for a project."""

DOCUMENTATION = r"""
name: web_statics
short_description: Find the volumes of the files that the front serves
version_added: 0.1.0
description:
  - Returns for each path of a URL the directory in the front, and the mount that provides it.
  - A directory in a volume of the project is mounted from this volume, and counts as media, which users upload. Only
    the directory itself is mounted, so that no symbolic link in it leads to other files of the volume.
  - Any other directory is copied from the image of the project.
options:
  _input:
    description: Directories of the project by the path of the URL.
    type: dict
    required: true
  mounts:
    description: C(volumeMounts) of the project.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Print the directory of uploads
  ansible.builtin.debug:
    msg: "{{ {'/media/': '/app/media'} | cloud_django.kubernetes.web_statics(mounts) }}"
  vars:
    mounts:
      - {name: media, mountPath: /app/media}
"""

RETURN = r"""
_value:
  description:
    - For each path a dictionary with C(path), C(root) in the front, C(source) in the project, C(media), and C(mount).
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

ROOT = "/srv/statics"
# The volume of the copies.
COPIES = "statics"


def web_statics(statics: Mapping[str, str], mounts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the directories of the front, longest path first, because the first match of a URL decides."""
    found = []
    for index, path in enumerate(sorted(statics)):
        source = PurePosixPath(statics[path])
        mount = _mount_of(source, mounts)
        name, part = (mount["name"], _part(source, mount)) if mount else (COPIES, str(index))
        entry: dict[str, Any] = {"name": name, "mountPath": f"{ROOT}/{index}", "readOnly": True}
        if part:
            entry["subPath"] = part
        found.append(
            {
                "path": f"/{path.strip('/')}/",
                "root": f"{ROOT}/{index}",
                "source": str(source),
                "media": mount is not None,
                "mount": entry,
            }
        )
    return sorted(found, key=lambda each: -len(each["path"]))


def _mount_of(source: PurePosixPath, mounts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the innermost mount that has a directory."""
    around = [mount for mount in mounts if source.is_relative_to(mount["mountPath"])]
    return max(around, key=lambda mount: len(PurePosixPath(mount["mountPath"]).parts), default=None)


def _part(source: PurePosixPath, mount: Mapping[str, Any]) -> str:
    """Return the path of a directory in a volume; empty for the volume itself."""
    part = str(PurePosixPath(mount.get("subPath") or "") / source.relative_to(mount["mountPath"]))
    return "" if part == "." else part


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """Return the filters by their names."""
        return {"web_statics": web_statics}
