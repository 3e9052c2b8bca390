# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Store compiled templates of the collection's roles and playbooks for later runs, as Python does for modules.

Otherwise each run would compile the same 400 templates, which takes a quarter of a second. The file is beside Python's
own compiled modules, and follows the same rules: without permission to write, or with PYTHONDONTWRITEBYTECODE, there is
none. It has no templates of inventories, which may contain secrets.
"""

import atexit
import marshal
import os
import sys
import tempfile
import zlib
from collections.abc import Hashable, Mapping
from contextlib import suppress
from functools import partial
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from types import CodeType

import jinja2
from ansible.release import __version__
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.templates import SharedTemplates, share_templates

# Number of templates from which on the file is replaced. Only a changed collection has so many.
MOST = 3000
Templates = Mapping[Hashable, CodeType]


def share_stored_templates() -> None:
    """Share templates between tasks and runs. Raises an error if this ansible-core is not supported."""
    from ansible._internal._templating._jinja_bits import AnsibleEnvironment

    shared = share_templates()
    environment = AnsibleEnvironment()
    # Ansible's option for debuggers compiles other code.
    if environment._debuggable_template_source:
        return
    header = header_of(sorted(environment.extensions))
    file = Path(cache_from_source(__file__)).with_suffix(".templates")
    stored = read(file, header)
    shared.start_with(stored)
    # Forks end without the functions of atexit.
    atexit.register(partial(store_added, file, header, stored, shared))


def header_of(extensions: list[str]) -> bytes:
    """Return the first line of the file, which names everything besides a template that its compilation depends on."""
    return f"{MAGIC_NUMBER.hex()} {__version__} {jinja2.__version__} {' '.join(extensions)}\n".encode()


def read(file: Path, header: bytes) -> Templates:
    """Return the stored templates; none if the file is missing, incomplete, or of other versions."""
    with suppress(OSError):
        content = file.read_bytes()
        body = content[len(header) + 4 :]
        if content.startswith(header) and body and content[len(header) :][:4] == checksum(body):
            return marshal.loads(body)
    return {}


def store_added(file: Path, header: bytes, stored: Templates, shared: SharedTemplates) -> None:
    """Store the templates that this run has added."""
    shared.load()
    if not shared.added or sys.dont_write_bytecode:
        return
    body = marshal.dumps(({} if len(stored) > MOST else dict(stored)) | shared.added)
    with suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        # Renamed, because another run may read or write the file.
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")
        try:
            with os.fdopen(descriptor, "wb") as new:
                new.write(header + checksum(body) + body)
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink()
            raise


def checksum(body: bytes) -> bytes:
    """Return four bytes that detect an incomplete file."""
    return zlib.crc32(body).to_bytes(4)
