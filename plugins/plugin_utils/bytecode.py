# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Store the compiled modules of the collection, as Python does for other modules.

By default, Ansible compiles a module of a collection in each run, which takes 60 ms for those of site.yml.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

PLUGINS = "ansible_collections.cloud_django.kubernetes.plugins."


class CompiledModules(MetaPathFinder):
    """Finder of the collection's modules with Python's own loader. Ansible finds packages and redirected names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of a module; None for a package, or for a module of another collection."""
        if not fullname.startswith(PLUGINS) or not path:
            return None
        file = Path(path[0], f"{fullname.rpartition('.')[2]}.py")
        return spec_from_file_location(fullname, file) if file.is_file() else None


def store_bytecode() -> None:
    """Add the finder to those of Python, before the one of Ansible."""
    if not any(isinstance(finder, CompiledModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, CompiledModules())
