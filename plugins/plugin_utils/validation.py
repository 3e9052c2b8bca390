# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Validate the variables of roles together, before the first change: types, argument specifications, and rules."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import cluster_entry, raw_entry
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import rules
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import type_errors

ROLES = Path(__file__).resolve().parents[2] / "roles"

# Variables of an inventory, which belong to no role.
INVENTORY: dict[str, dict[str, Any]] = {
    "app_name": {"type": "str"},
    "app_namespace": {"type": "str"},
    "app_public_url": {"type": "str"},
    "app_data": {"type": "str", "choices": ["keep", "purge"]},
}
CLUSTER = (
    *("cluster_provider", "cluster_name", "cluster_kubeconfig", "cluster_context", "cluster_server", "cluster_uid"),
    *("cluster_account_kubeconfig", "cluster_state_directory"),
)
# What an entry of a kubeconfig says of the server, and not of the way there.
SERVER = ("server", "tls-server-name", "certificate-authority-data")


class Validation:
    """What is wrong with the variables of a task, as its templar sees them."""

    def __init__(self, templar: Any, variables: Mapping[str, Any]) -> None:
        self.templar, self.variables = templar, variables

    def complaints(self, roles: list[str]) -> list[str]:
        """Return what is wrong with the variables of these roles and of those that they depend on, each once."""
        specs = {role: self.spec(role) for role in self.with_dependencies(roles)}
        found, values, present = [], {}, []
        for role, spec in {"inventory": INVENTORY, **specs}.items():
            errors, valid = self.check(spec)
            found += [f"{role}: {error}" for error in errors]
            # What is removed may have any name or address.
            if valid.get(f"{role}_state") != "absent":
                values |= valid
                present.append(role)
        found += rules.complaints(values)
        found += self.same_site()
        for role in present:
            found += self.refusals(role, bool(found))
        return list(dict.fromkeys(found))

    def with_dependencies(self, roles: list[str]) -> list[str]:
        """Return the names of roles, each after those that it depends on."""
        found: dict[str, None] = {}
        for role in roles:
            path = ROLES / role / "meta" / "main.yml"
            entries = _read(path).get("dependencies") or [] if path.exists() else []
            found |= dict.fromkeys([*(entry["role"].rpartition(".")[2] for entry in entries), role])
        return list(found)

    def spec(self, role: str) -> dict[str, Any]:
        """Return the options of a role's tasks/main.yml. Raises AnsibleError for a role that has none."""
        path = ROLES / role / "meta" / "argument_specs.yml"
        if not path.is_file():
            raise AnsibleError(f"Role {role} of the collection has no {path}. Correct the name of the role.")
        return _read(path)["argument_specs"]["main"]["options"]

    def check(self, spec: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """Return what is wrong with the variables that are options, and the converted values of the others."""
        errors, values, secrets, spec = [], {}, set(), dict(spec)
        for name in spec.keys() & self.variables.keys():
            try:
                # In a dictionary, from which `omit` removes it.
                value = self.templar.template({name: self.variables[name]})
            except AnsibleError as error:
                errors.append(f"{name}: {error}")
                del spec[name]
                continue
            secrets |= set(_secrets(spec[name], value.get(name)))
            if name in value and (wrong := list(type_errors(name, spec[name], value[name]))):
                errors += wrong
                del spec[name]
            else:
                values |= value
        found = ArgumentSpecValidator(spec).validate(values, validate_role_argument_spec=True)
        errors = sorted(errors) + found.error_messages
        return remove_values(errors, secrets), {
            name: found.validated_parameters[name] for name in values if name in spec
        }

    def refusals(self, role: str, others: bool) -> list[str]:
        """Return what a role refuses of values that are valid one by one, in its variable __<role>_refusals.

        Args:
            others: whether there are complaints already, by which its templates may fail.
        """
        if (name := f"__{role}_refusals") not in self.variables:
            return []
        try:
            return [sentence for sentence in self.templar.template(self.variables[name]) if sentence]
        except AnsibleError:
            if others:
                return []
            raise

    def same_site(self) -> list[str]:
        """Return a complaint if another host of the run deploys the same site to the same cluster."""
        hosts = self.variables.get("ansible_play_hosts_all") or []
        if len(hosts) < 2:
            return []
        return list(rules.same_site(self.variables["inventory_hostname"], {host: self.site(host) for host in hosts}))

    def site(self, host: str) -> tuple[Any, ...]:
        """Return what tells the site of a host from others: its cluster, namespace and name."""
        variables = self.variables["hostvars"][host]

        def value(name: str) -> Any:
            try:
                return variables.get(name)
            except AnsibleError:
                # It follows from a role's default, which is the same for all.
                return None

        place = value("cluster_kubeconfig"), value("cluster_context")
        entry = cluster_entry(*place)
        # Two kubeconfigs may lead to one cluster. A gateway has one address for many, which the login tells apart.
        login = (raw_entry(*place, "user").get("exec") or {}).get("args")
        server = [*map(entry.get, SERVER), login] if entry.get("server") else [value(name) for name in CLUSTER]
        return server, value("app_namespace"), value("app_name")


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a file in YAML. Ansible's own reader takes five times as long."""
    return yaml_load(path.read_bytes()) or {}


def _secrets(option: Mapping[str, Any], value: Any) -> Iterator[str]:
    """Yield the texts of a value that no message may show."""
    if option.get("no_log"):
        yield from _texts(value)
    elif isinstance(value, Mapping):
        for name, inner in (option.get("options") or {}).items():
            yield from _secrets(inner, value.get(name))


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a value, those in lists and dictionaries included."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list):
        yield from [str(value)] if value else []
        return
    for each in value:
        yield from _texts(each)


def message(complaints: list[str], role: str = "") -> str:
    """Return all complaints as one message, with the effect and the next step.

    Args:
        role: the one that they are about, where others may have made changes before.
    """
    end = f"Role {role} made no changes." if role else "No changes were made to the site."
    return "\n".join(["Validation of arguments failed:", *complaints, f"{end} Correct this, then rerun the playbook."])


def role_of_its_own(task: Any, templar: Any, variables: Mapping[str, Any]) -> str:
    """Return the role that a task belongs to, if it has to be validated because no task of the play did that.

    A play that validates its roles together imports them with `rolespec_validate: false`. Without a variable
    `<role>_state`, or with `absent`, a role makes nothing that has a name or a value, and a removal is not refused.
    """
    role = task._role
    # Private names of ansible-core: without them each role is validated.
    if role is None or not getattr(role, "_should_validate", True):
        return ""
    path = Path(role.get_role_path())
    if getattr(role, "_from_files", {}).get("tasks", "main") != "main" or path.parent.resolve() != ROLES:
        return ""
    return path.name if templar.template(variables.get(f"{path.name}_state")) == "present" else ""
