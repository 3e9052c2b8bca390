# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Environment and files of the pods of a project, from the variables of the role django.

Each value is one of these: plain text, a reference to a key of a Secret, the path of a mounted file, or a key of a
Secret that the module `apply` composes. One composed Secret exists for each login, because its values differ.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import compose
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.project import entries

Obj = dict[str, Any]

# Keys in the Secrets of the groups. Keys of the same name are not listed.
SECRET_KEYS: dict[str, dict[str, str]] = {
    "database": {"name": "database", "user": "username", "ca": "ca.crt"},
    "django": {"secret_key": "secret-key"},
}
# Directories of the Secrets that are mounted as a whole. Their files have the names of the keys.
DIRECTORIES = {name: f"/run/secrets/{name}" for name in ("database", "django", "cache")}
# Files of the database's Secret that each pod has.
DATABASE_FILES = ("password", "ca.crt", "service")
# Groups with values of the inventory instead of those of a Secret.
PLAIN = ("site", "email")
# Names in app_email whose values are no secrets. Others, such as an API key, are in no ConfigMap.
EMAIL_TEXT = ("host", "port", "user", "username", "from", "sender", "address", "domain", "timeout")
EMAIL_TEXT += ("tls", "ssl", "starttls", "use_tls", "use_ssl", "backend")
COMPOSED_FILES = "/run/cloud-django/values"
SETTINGS = "/run/cloud-django/settings"
SETTINGS_MODULE = "cloud_settings"
FIELDS = {"ip": "status.podIP", "name": "metadata.name", "node": "spec.nodeName"}
VOLUME = "values"
READABLE = 0o440


@dataclass
class Project:
    """The variable `__django_inputs` of the role django.

    Its values are evaluated when they are read, so those that no entry uses, such as the address of the site, need not
    be known.
    """

    inputs: Mapping[str, Any]

    @cached_property
    def given(self) -> Mapping[str, Any]:
        """The variables of the inventory."""
        return self.inputs["given"]

    @cached_property
    def keys(self) -> entries.Keys:
        """The keys of each group."""
        return entries.keys_of(self.given["generated"], self.given["email"], bool(self.given["cache"]))

    @cached_property
    def environment(self) -> dict[str, Any]:
        """The entries of the environment, those of the roles included, without removed ones."""
        found = self.presets() | dict(self.given["environment"])
        if self.given["local_settings"]:
            found["DJANGO_SETTINGS_MODULE"] = SETTINGS_MODULE
        elif self.given["settings_module"]:
            found["DJANGO_SETTINGS_MODULE"] = self.given["settings_module"]
        if path := [*([SETTINGS] if self.given["local_settings"] else []), *self.given["python_path"]]:
            found["PYTHONPATH"] = ":".join(path)
        return {name: entry for name, entry in found.items() if entry is not None}

    def presets(self) -> dict[str, Any]:
        """Return the entries of the roles."""
        names = ["base"]
        if self.given["contract"]:
            names += ["contract", *(["cache"] if self.given["cache"] else [])]
        else:
            names += ["service", *(["timeouts"] if self.given["process"] == "web" else [])]
        return {name: entry for preset in names for name, entry in self.inputs["presets"][preset].items()}

    @cached_property
    def files(self) -> dict[str, Mapping[str, Any]]:
        """The entries of the files, each with a template, without removed ones."""
        found = {path: with_template(entry) for path, entry in self.given["files"].items() if entry is not None}
        if self.given["local_settings"]:
            code = f"from {self.given['settings_module']} import *\n{self.given['local_settings']}"
            found[f"{SETTINGS}/{SETTINGS_MODULE}.py"] = {"template": code}
        return found

    def groups(self) -> Iterator[str]:
        """Yield the groups that the environment and the files use."""
        templates = [entry["template"] for entry in self.files.values()]
        for entry in self.environment.values():
            if isinstance(entry, Mapping):
                yield from (entry[kind].partition(".")[0] for kind in ("from", "file") if kind in entry)
                templates += [entry["template"]] if "template" in entry else []
        for template in templates:
            yield from (each.group for each in compose.placeholders(template))

    def plain(self, group: str, key: str) -> Any:
        """Return a value of the inventory."""
        return self.given["email"][key] if group == "email" else self.inputs["values"][group][key]

    def secret_of(self, group: str) -> str:
        """Return the name of the Secret of a group."""
        return self.given[group] if group in ("database", "cache") else f"{self.given['app']}-{group}"

    def errors(self) -> Iterator[str]:
        """Yield the errors in the entries. site.yml has found them before its first change; a role alone has not."""
        yield from entries.type_errors(self.given["environment"])
        yield from entries.email_errors(self.given["email"])
        yield from entries.environment_errors(self.given["environment"], self.keys)
        yield from entries.file_errors(self.given["files"], self.keys)


@dataclass
class Values:
    """The parts of pods, and the options of the module `apply`, that follow from the entries of a project."""

    project: Project
    text: dict[str, str] = field(default_factory=dict)
    environment: list[Obj] = field(default_factory=list)
    templates: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    required: list[Obj] = field(default_factory=list)
    mounts: list[Obj] = field(default_factory=list)
    database_files: dict[str, None] = field(default_factory=lambda: dict.fromkeys(DATABASE_FILES))

    def __post_init__(self) -> None:
        """Add all entries."""
        self.secret = f"{self.project.given['app']}-values-{self.project.given['login']}"
        for name, entry in self.project.environment.items():
            self.add(name, entry)
        for path, entry in self.project.files.items():
            self.add_file(path, entry["template"], entry.get("only"))

    def add(self, name: str, entry: Any) -> None:
        """Add an environment variable."""
        if isinstance(entry, str):
            self.text[name] = entry
        elif "from" in entry:
            self.add_reference(name, entry["from"], entry.get("separator", ","))
        elif "file" in entry:
            self.environment.append({"name": name, "value": doubled(self.path_of(entry["file"]))})
        elif "field" in entry:
            self.add_source(name, "fieldRef", {"fieldPath": entry["field"]})
        elif "secret" in entry:
            self.required.append({"secret": entry["secret"], "key": entry["key"], "reason": name})
            self.add_source(name, "secretKeyRef", {"name": entry["secret"], "key": entry["key"]})
        else:
            self.add_composed(name, entry)

    def add_composed(self, name: str, entry: Mapping[str, Any]) -> None:
        """Add an environment variable whose value is in the composed Secret."""
        key = f"environment.{name}"
        if "value" in entry:
            self.given[key] = entry["value"]
        else:
            self.templates[key] = entry["template"]
        self.add_source(name, "secretKeyRef", {"name": self.secret, "key": key})

    def add_reference(self, name: str, reference: str, separator: str) -> None:
        """Add an environment variable with the value of a key of a group."""
        group, _, key = reference.partition(".")
        if group == "pod":
            self.add_source(name, *pod_source(key))
        elif group == "email" and key not in EMAIL_TEXT:
            self.add_composed(name, {"value": str(self.project.plain(group, key))})
        elif group in PLAIN:
            value = self.project.plain(group, key)
            self.text[name] = separator.join(value) if isinstance(value, list | tuple) else str(value)
        else:
            # Optional like the mounted Secret, because a pod must also start without a cache.
            optional = {"optional": True} if group == "cache" else {}
            source = {"name": self.project.secret_of(group), "key": secret_key(group, key)}
            self.add_source(name, "secretKeyRef", source | optional)

    def add_source(self, name: str, kind: str, source: Obj) -> None:
        """Add an environment variable with a source of Kubernetes."""
        self.environment.append({"name": name, "valueFrom": {kind: source}})

    def path_of(self, reference: str) -> str:
        """Return the path of a file with the value of a key of a group."""
        group, _, key = reference.partition(".")
        if group not in DIRECTORIES or group in PLAIN:
            path = f"{COMPOSED_FILES}/{reference}"
            self.add_file(path, f"${{{reference}}}")
            return path
        file = secret_key(group, key)
        if group == "database":
            self.database_files[file] = None
        return f"{DIRECTORIES[group]}/{file}"

    def add_file(self, path: str, template: str, only: Any = None) -> None:
        """Add a file, which is a key of the composed Secret."""
        key = f"file.{sha256(path.encode()).hexdigest()[:10]}"
        if key not in self.templates:
            self.templates[key] = template
            mount = {"name": VOLUME, "mountPath": path, "subPath": key, "readOnly": True}
            self.mounts.append(mount | ({} if only is None else {"only": only}))

    def result(self) -> Obj:
        """Return all parts, as the roles use them."""
        plain = [{"name": name, "value": doubled(text)} for name, text in self.text.items()]
        secret = {"secretName": self.secret, "defaultMode": READABLE}
        return {
            "text": self.text,
            "environment": self.environment,
            "job_environment": self.environment + plain,
            "secret": self.secret if self.templates or self.given else "",
            "compose": {self.secret: self.templates} if self.templates else {},
            "given": {self.secret: self.given} if self.given else {},
            "sources": self.sources(),
            "required": self.required,
            "groups": sorted(set(self.project.groups())),
            "volumes": [{"name": VOLUME, "secret": secret}] if self.mounts else [],
            "mounts": sorted(self.mounts, key=lambda mount: mount["mountPath"].count("/")),
            "database_items": [{"key": file, "path": file} for file in self.database_files],
        }

    def sources(self) -> Obj:
        """Return the groups of the templates, in the format of the module `apply`."""
        names = {each.group for template in self.templates.values() for each in compose.placeholders(template)}
        return {name: self.source(name) for name in sorted(names)}

    def source(self, group: str) -> Obj:
        """Return one group in the format of the module `apply`."""
        keys = self.project.keys[group] or ()
        if group in PLAIN:
            return {"values": {key: self.project.plain(group, key) for key in keys}}
        return {"secret": self.project.secret_of(group), "keys": {key: secret_key(group, key) for key in keys}}


def with_template(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the entry of a file with a template. Raises ValueError if its source cannot be read."""
    if "template" in entry:
        return entry
    return {**entry, "template": entries.read(entry["source"]) if "source" in entry else f"${{{entry['from']}}}"}


def secret_key(group: str, key: str) -> str:
    """Return the key of a value in the Secret of its group."""
    return SECRET_KEYS.get(group, {}).get(key, key)


def pod_source(key: str) -> tuple[str, Obj]:
    """Return the source of a value of the pod itself."""
    if key == "cpus":
        return "resourceFieldRef", {"resource": "limits.cpu", "divisor": "1"}
    return "fieldRef", {"fieldPath": FIELDS[key]}


def doubled(text: str) -> str:
    """Return a value that Kubernetes does not expand, because it replaces $(NAME) and $$ in `env`."""
    return text.replace("$", "$$")
