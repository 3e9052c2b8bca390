# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for the variables of the role django."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project import (
    egress,
    entries,
    paths,
    values,
    volumes,
)
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import addresses, bounds
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown

# Environment variables of the contract that the roles set, so that no value of a project can replace them.
CONTRACT = frozenset(
    {"DJANGO_SECRET_KEY_FILE", "DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME", "DATABASE_SCHEMA", "DATABASE_USER"}
    | {"DATABASE_PASSWORD_FILE", "DATABASE_SSLMODE", "DATABASE_SSLROOTCERT", "DATABASE_ROLE"}
    | {"DATABASE_APPLICATION_NAME"}
)
# Names of volumes and containers that the roles use.
VOLUMES = frozenset({"temporary", "django", "database", "cache", "values", "superuser", "script", "launcher"})
PREFIXES = ("front", "writable-", "statics")
CONTAINERS = frozenset({"web", "migrations", "superuser", "front", "front-program", "worker", "schedule"})
CONTAINER_PREFIXES = ("after-", "statics")
VOLUME_OPTIONS = ("path", "size", "access", "storage_class", "only", "read_only", *volumes.EXISTING)
ACCESS = (volumes.ONE_NODE, volumes.SHARED, volumes.ONE_POD)
OWN_LABELS = "app.kubernetes.io/"


def django_environment_types(django_environment: Mapping[Any, Any]) -> Iterator[str]:
    """Each name must be valid in web pods and Jobs, and each value be text or name a source."""
    yield from entries.name_errors(django_environment)
    yield from entries.type_errors(django_environment)


def django_environment(
    django_environment: Mapping[Any, Any],
    django_contract: bool,
    django_generated: Mapping[str, Any],
    django_email: Mapping[str, Any],
    django_cache_secret: str,
) -> Iterator[str]:
    """Sources must exist, and names of the roles stay theirs."""
    keys = entries.keys_of(django_generated, django_email, bool(django_cache_secret))
    yield from entries.environment_errors(django_environment, keys)
    for name, entry in django_environment.items():
        if django_contract and name in CONTRACT and entry is not None:
            yield (
                f"{name} in django_environment is reserved, because the roles set it. Remove it, or set "
                "django_contract to false for a project with names of its own."
            )


def django_email(django_email: Mapping[str, Any]) -> Iterator[str]:
    """Templates can only have text."""
    yield from entries.email_errors(django_email)


def django_files(
    django_files: Mapping[str, Any],
    django_generated: Mapping[str, Any],
    django_email: Mapping[str, Any],
    django_cache_secret: str,
) -> Iterator[str]:
    """Each file names one source, and templates of Python files must be Python."""
    keys = entries.keys_of(django_generated, django_email, bool(django_cache_secret))
    errors = list(entries.file_errors(django_files, keys))
    yield from errors
    if errors:
        return
    for path, entry in django_files.items():
        yield from _file_errors(path, entry or {}, keys)


def _file_errors(path: str, entry: Mapping[str, Any], keys: entries.Keys) -> Iterator[str]:
    """Yield the errors in the content of a file."""
    try:
        template = values.with_template(entry)["template"] if entry else ""
    except ValueError as error:
        # The step to rerun the playbook follows the errors of all variables.
        yield str(error).replace(", then rerun the playbook.", ".")
        return
    problems = list(entries.template_problems(template, keys)) if "source" in entry else []
    yield from (f"{path} in django_files {problem}." for problem in problems)
    # With a misspelled placeholder, the code is not Python either.
    is_python = Path(path).suffix == ".py" and "from" not in entry and not problems
    if is_python and (reason := entries.python_error(template)):
        yield f"{path} in django_files is not valid Python ({reason}). Correct it."


def django_local_settings(
    django_local_settings: str,
    django_settings_module: str,
    django_environment: Mapping[str, Any],
    django_generated: Mapping[str, Any],
    django_email: Mapping[str, Any],
    django_cache_secret: str,
) -> Iterator[str]:
    """The code runs after the settings module, which must be known."""
    keys = entries.keys_of(django_generated, django_email, bool(django_cache_secret))
    problems = list(entries.template_problems(django_local_settings, keys))
    yield from (f"django_local_settings {problem}." for problem in problems)
    # With a misspelled placeholder, the code is not Python either.
    if not problems and (reason := entries.python_error(django_local_settings)):
        yield f"django_local_settings is not valid Python ({reason}). Correct it."
    if django_local_settings and not django_settings_module:
        yield (
            "django_settings_module is empty, but django_local_settings is set, and its code runs after that module. "
            "Set django_settings_module, for instance shop.settings."
        )
    if django_settings_module and not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", django_settings_module):
        yield (
            f"django_settings_module is {shown(django_settings_module)}, which is not the name of a Python module. "
            "Write for instance shop.settings."
        )
    taken = {"DJANGO_SETTINGS_MODULE": django_settings_module, "PYTHONPATH": django_local_settings}
    for name, variable in taken.items():
        if variable and django_environment.get(name) is not None:
            instead = "django_settings_module" if name == "DJANGO_SETTINGS_MODULE" else "django_python_path"
            yield f"{name} in django_environment would be replaced by {instead}. Set only {instead}."


def django_generated(django_generated: Mapping[Any, Any]) -> Iterator[str]:
    """Names are parts of placeholders."""
    yield from entries.generated_errors(django_generated)


def django_paths(
    django_files: Mapping[str, Any],
    django_writable: Mapping[str, Any],
    django_volumes: Mapping[str, Any],
    django_python_path: list[str],
) -> Iterator[str]:
    """Files, writable directories, and volumes must not hide each other, or code of the image."""
    yield from paths.errors(paths.places(django_files, django_writable, django_volumes), django_python_path)


def django_writable(django_writable: Mapping[str, Any]) -> Iterator[str]:
    """Options of empty directories."""
    for path, options in django_writable.items():
        if not isinstance(path, str):
            yield f"{path} in django_writable is not a string. Write the path of the directory."
        elif options is not None and not isinstance(options, Mapping):
            yield f"{path} in django_writable is not a dictionary. Set for instance {{size: 64Mi}}, or {{}}."
        elif unknown := [key for key in options or {} if key not in ("size", "memory", "only")]:
            yield f"{path} in django_writable has {unknown[0]}, which is none of size, memory, only. Correct it."
        elif options and options.get("size") is not None:
            yield from bounds.size(f"The size of {path} in django_writable", options["size"])


def django_volumes(django_volumes: Mapping[str, Any], web_replicas: int, web_replicas_maximum: int) -> Iterator[str]:
    """A volume is a new claim or an existing object, and its access mode must fit the pods."""
    for name, volume in django_volumes.items():
        if volume is not None and (problem := volume_problem(name, volume)):
            yield f"Volume {name} in django_volumes {problem}."
        elif volume is not None:
            if "size" in volume:
                yield from bounds.size(f"The size of volume {name} in django_volumes", volume["size"])
            yield from bounds.object_name(f"The storage_class of volume {name}", volume.get("storage_class") or "")
            most = {"web_replicas": web_replicas, "web_replicas_maximum": web_replicas_maximum}
            yield from exclusive_errors(name, volume, most)


def volume_problem(name: str, volume: Any) -> str:
    """Return why a volume is not valid, with the next step; empty if it is."""
    if not isinstance(volume, Mapping):
        return "is not a dictionary. Set for instance {path: /app/media, size: 10Gi}"
    if not isinstance(name, str) or len(name) > addresses.LONGEST_LABEL or not addresses.LABEL.fullmatch(name):
        return "has a name that Kubernetes refuses. Use lowercase letters, digits, and hyphens"
    if name in VOLUMES or name.startswith(PREFIXES):
        return "has a name that the roles use. Choose another"
    if unknown := [key for key in volume if key not in VOLUME_OPTIONS]:
        return f"has {unknown[0]}, which is none of {', '.join(VOLUME_OPTIONS)}. Correct it"
    if not isinstance(volume.get("path"), str):
        return "has no path. Set the directory in the pods, for instance /app/media"
    existing = [kind for kind in volumes.EXISTING if kind in volume]
    if len(existing) > 1:
        return f"has both {existing[0]} and {existing[1]}. Keep one"
    if existing and "size" in volume:
        return f"has both size and {existing[0]}. Keep one"
    if not existing and not isinstance(volume.get("size"), str):
        return f"has neither a size nor one of {', '.join(volumes.EXISTING)}. Set for instance size 10Gi"
    if not isinstance(volume.get("storage_class") or "", str):
        return "has a storage_class that is not a string. Write the name that kubectl lists"
    if "access" in volume and volume["access"] not in ACCESS:
        return f"has the access {shown(volume['access'])}, which is none of {', '.join(ACCESS)}. Correct it"
    return ""


def exclusive_errors(name: str, volume: Mapping[str, Any], web: Mapping[str, int]) -> Iterator[str]:
    """Yield an error if more than one pod needs a volume that only one can mount.

    Args:
        name: name of the volume.
        volume: its options.
        web: numbers of web pods by variable.
    """
    if volumes.access(volume) != volumes.ONE_POD:
        return
    only = volume.get("only")
    if only is None or len(only) != 1:
        yield (
            f"Volume {name} in django_volumes is ReadWriteOncePod, but several kinds of pods mount it, so Jobs would "
            "wait for the web pod. Set only to one of them, for instance [web], or use ReadWriteMany."
        )
    elif only[0] == "web" and (several := [variable for variable, number in web.items() if number > 1]):
        yield (
            f"Volume {name} in django_volumes is ReadWriteOncePod, and {several[0]} is {web[several[0]]}. Use 1 "
            "replica, or ReadWriteMany."
        )


def django_egress(django_egress: Mapping[str, Any]) -> Iterator[str]:
    """NetworkPolicies know addresses and pods, but no host names."""
    yield from egress.errors(django_egress)


def django_ids(django_user_id: Any, django_group_id: Any) -> Iterator[str]:
    """Both are numbers, or null for those of the image. The bounds of numbers have a rule of their own."""
    for name, value in {"django_user_id": django_user_id, "django_group_id": django_group_id}.items():
        is_number = isinstance(value, int) and not isinstance(value, bool)
        # With -e, a number is a string.
        if value is not None and not is_number and not re.fullmatch("[1-9][0-9]{0,8}", str(value)):
            yield f"{name} is {shown(value)}, not a number. Set a UID or GID, or null for that of the image."


def django_commands(django_manage: list[str]) -> Iterator[str]:
    """It is the begin of all management commands."""
    if not django_manage:
        yield "django_manage is empty. Set the management command of the project, for instance [python, manage.py]."


def django_containers(django_containers: Mapping[str, Any], django_init_containers: Mapping[str, Any]) -> Iterator[str]:
    """Further containers have an image, and names of their own."""
    for variable, containers in {
        "django_containers": django_containers,
        "django_init_containers": django_init_containers,
    }.items():
        for name, container in containers.items():
            if container is not None and (problem := container_problem(name, container)):
                yield f"{name} in {variable} {problem}."
    if both := [name for name in django_containers if name in django_init_containers]:
        yield f"django_containers and django_init_containers both have {both[0]}. Rename one."


def container_problem(name: str, container: Any) -> str:
    """Return why a container is not valid, with the next step; empty if it is."""
    if not isinstance(container, Mapping) or not isinstance(container.get("image"), str):
        return "has no image. Set it"
    if not isinstance(name, str) or not addresses.LABEL.fullmatch(name):
        return "has a name that Kubernetes refuses. Use lowercase letters, digits, and hyphens"
    is_taken = name in CONTAINERS or name.startswith(CONTAINER_PREFIXES)
    return "has a name that the roles use. Choose another" if is_taken else ""


def django_labels(django_labels: Mapping[str, Any], django_annotations: Mapping[str, Any]) -> Iterator[str]:
    """Selectors and policies use the labels of the roles."""
    for name in django_labels:
        if str(name).startswith((OWN_LABELS, "cloud-django/")):
            yield f"django_labels has {name}, which the roles set. Choose another name."
    for variable, held in {"django_labels": django_labels, "django_annotations": django_annotations}.items():
        for name, value in held.items():
            if not isinstance(name, str):
                yield f"{name} in {variable} is not a string. Quote the name."
            elif not isinstance(value, str):
                yield f"{name} in {variable} is not a string. Quote the value."


def django_objects(django_objects: list[Mapping[str, Any]]) -> Iterator[str]:
    """Each manifest names its kind and itself."""
    for index, manifest in enumerate(django_objects):
        metadata = manifest.get("metadata")
        has_name = isinstance(metadata, Mapping) and metadata.get("name")
        if not (manifest.get("apiVersion") and manifest.get("kind") and has_name):
            yield f"django_objects[{index}] has no apiVersion, kind, or metadata.name. Write a whole manifest."


RULES: list[Callable[..., Iterator[str]]] = [
    django_environment_types,
    django_environment,
    django_email,
    django_files,
    django_local_settings,
    django_generated,
    django_paths,
    django_writable,
    django_volumes,
    django_egress,
    django_ids,
    django_commands,
    django_containers,
    django_labels,
    django_objects,
]
