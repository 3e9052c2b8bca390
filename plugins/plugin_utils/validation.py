# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Validate the variables of roles together, before the first change: types, argument specs, and rules."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.connection import cluster_entry, raw_entry
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import rules, sites
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import type_errors

ROLES = Path(__file__).resolve().parents[2] / "roles"

# Variables of an inventory that belong to no role.
INVENTORY: dict[str, dict[str, Any]] = {
    "app_name": {"type": "str"},
    "app_namespace": {"type": "str"},
    "app_public_url": {"type": "str"},
    "app_email": {"type": "dict"},
    "app_data": {"type": "str", "choices": ["keep", "purge"]},
    "app_hosts": {"type": "list", "elements": "str"},
}
CLUSTER = (
    *("cluster_provider", "cluster_name", "cluster_kubeconfig", "cluster_context", "cluster_server", "cluster_uid"),
    *("cluster_account_kubeconfig", "cluster_state_directory"),
)
# Fields of a kubeconfig's cluster entry that identify the server, unlike those for its proxy.
SERVER = ("server", "tls-server-name", "certificate-authority-data")


class Validation:
    """Validation of the variables of a task."""

    def __init__(self, templar: Any, variables: Mapping[str, Any]) -> None:
        self.templar, self.variables = templar, variables

    def errors(self, roles: list[str]) -> list[str]:
        """Return the errors in the variables of these roles and of their dependencies, each once."""
        specs = {role: self.spec(role) for role in self.with_dependencies(roles)}
        found, values, present = [], {}, []
        for role, spec in {"inventory": INVENTORY, **specs}.items():
            errors, valid = self.check(spec)
            found += [f"{role}: {error}" for error in errors]
            # A removal is valid with any name or URL.
            if valid.get(f"{role}_state") != "absent":
                values |= valid
                present.append(role)
        found += rules.errors(values)
        found += self.same_site()
        found += self.shared_cluster()
        for role in present:
            found += self.refusals(role, bool(found))
        return list(dict.fromkeys(found))

    def with_dependencies(self, roles: list[str]) -> list[str]:
        """Return the names of roles, each after its dependencies."""
        found: dict[str, None] = {}
        for role in roles:
            path = ROLES / role / "meta" / "main.yml"
            entries = _read(path).get("dependencies") or [] if path.exists() else []
            found |= dict.fromkeys([*(entry["role"].rpartition(".")[2] for entry in entries), role])
        return list(found)

    def spec(self, role: str) -> dict[str, Any]:
        """Return the options of a role's tasks/main.yml. Raises AnsibleError for a role without an argument spec."""
        path = ROLES / role / "meta" / "argument_specs.yml"
        if not path.is_file():
            raise AnsibleError(
                f"Role {role} of the collection has no {path}. Correct the name of the role, then rerun the playbook."
            )
        return _read(path)["argument_specs"]["main"]["options"]

    def check(self, spec: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """Return the errors in the variables of an argument spec, and the converted values of the valid ones."""
        errors, values, secrets, spec = [], {}, set(), dict(spec)
        for name in spec.keys() & self.variables.keys():
            try:
                # In a dictionary, because the templar removes a value `omit` only there.
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
        """Return the errors in a role's variable __<role>_refusals, for combinations of valid values.

        Args:
            others: whether other errors were found, because of which the templates of the variable may fail.
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
        """Return an error if another host of the run deploys the same site to the same cluster."""
        hosts = self.variables.get("ansible_play_hosts_all") or []
        if len(hosts) < 2:
            return []
        return list(rules.same_site(self.variables["inventory_hostname"], {host: self.site(host) for host in hosts}))

    def shared_cluster(self) -> list[str]:
        """Return an error if the cluster of this host differs from that of the first host, whatever --limit selects."""
        hosts = (self.variables.get("groups") or {}).get("cloud_django") or []
        host = self.variables.get("inventory_hostname")
        if len(hosts) < 2 or host not in hosts[1:]:
            return []
        own, others = (self.variables["hostvars"].raw_get(name) for name in (host, hosts[0]))
        return list(sites.shared_cluster(host, own, hosts[0], others))

    def site(self, host: str) -> tuple[Any, ...]:
        """Return the identity of a host's site: cluster, namespace, and name."""
        variables = self.variables["hostvars"][host]

        def value(name: str) -> Any:
            try:
                return variables.get(name)
            except AnsibleError:
                # The value depends on a role's default, which is the same for all hosts.
                return None

        place = value("cluster_kubeconfig"), value("cluster_context")
        entry = cluster_entry(*place)
        # Two kubeconfigs can lead to the same cluster. Clusters behind the same gateway differ only in the login.
        login = (raw_entry(*place, "user").get("exec") or {}).get("args")
        server = [*map(entry.get, SERVER), login] if entry.get("server") else [value(name) for name in CLUSTER]
        return server, value("app_namespace"), value("app_name")


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file. Ansible's loader takes five times as long."""
    return yaml_load(path.read_bytes()) or {}


def _secrets(option: Mapping[str, Any], value: Any) -> Iterator[str]:
    """Yield the strings in a value that no message may show."""
    if option.get("no_log"):
        yield from _texts(value)
    elif isinstance(value, Mapping):
        for name, inner in (option.get("options") or {}).items():
            yield from _secrets(inner, value.get(name))


def _texts(value: Any) -> Iterator[str]:
    """Yield the strings in a value, including those in lists and dictionaries."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, list):
        yield from [str(value)] if value else []
        return
    for each in value:
        yield from _texts(each)


def message(errors: list[str], role: str = "") -> str:
    """Return all errors as one message, with the effect and the next step.

    Args:
        role: the role with the errors, if other roles may have made changes before.
    """
    end = f"Role {role} made no changes." if role else "No changes were made to the site."
    return "\n".join(["Validation of arguments failed:", *errors, f"{end} Correct them, then rerun the playbook."])


def role_of_its_own(task: Any, templar: Any, variables: Mapping[str, Any]) -> str:
    """Return the role of a task if no earlier task of the play validated the role; empty if validation isn't necessary.

    A play that validates its roles together imports them with `rolespec_validate: false`. A role without a variable
    `<role>_state`, or with the value `absent`, creates nothing that needs valid names or values.
    """
    role = task._role
    # These are private names of ansible-core. Without them, each role is validated.
    if role is None or not getattr(role, "_should_validate", True):
        return ""
    path = Path(role.get_role_path())
    if getattr(role, "_from_files", {}).get("tasks", "main") != "main" or path.parent.resolve() != ROLES:
        return ""
    return path.name if templar.template(variables.get(f"{path.name}_state")) == "present" else ""
