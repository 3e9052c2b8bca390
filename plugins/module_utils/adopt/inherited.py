# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Variables of another inventory that a new one has as well: those of its cluster, registry, and servers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# Beginnings of the names of variables that describe where a site runs, not the site.
SHARED = (
    *("cluster_", "container_engine_", "mirror_builds_", "http_proxy", "https_proxy", "no_proxy"),
    *("registry_mirror", "site_ca_file", "app_image_repository"),
    *("image_provider", "image_builder", "image_proxies", "image_build_secrets"),
    *("postgresql_backend", "postgresql_host", "postgresql_port", "postgresql_image", "postgresql_ca_certificate"),
    *("database_sslmode", "cache_image", "cache_user_id", "web_front_image"),
    *("web_gateways", "web_ingress_class", "web_trusted_proxies", "web_service_type"),
)
# Those of them that belong to one cluster or one site, because a new inventory can have another one.
OWN = ("cluster_name", "cluster_state_directory", "cluster_account_")
PIN = ("cluster_server", "cluster_uid")
SECRET = re.compile(r"password|secret|token|credential|private|_key\b|passphrase|admin_", re.IGNORECASE)
# Paths of files for builds, not their content.
NO_SECRET = frozenset({"image_build_secrets"})


@dataclass
class Inherited:
    """Variables of another inventory."""

    # Each with the comment above it, as it is in its file.
    blocks: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    # Names that stay behind, because they are or may be secret.
    secrets: list[str] = field(default_factory=list)
    base_image: str = ""

    @property
    def is_of_mirrors(self) -> bool:
        """Whether the machine reaches package mirrors only."""
        return bool(self.values.get("mirror_builds_enabled"))


def inherited(inventory: Path | None) -> Inherited:
    """Return the shared variables of an inventory; none for no inventory, or for one without variables of all hosts."""
    result = Inherited()
    directory = inventory / "group_vars" / "all" if inventory else None
    files = sorted(directory.glob("*.y*ml")) if directory and directory.is_dir() else []
    for file in files:
        try:
            _take(result, file.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            # An encrypted file, for example.
            result.secrets.append(f"the variables in {file.name}")
    if result.values.get("cluster_provider") != "existing":
        result.blocks = [block for block in result.blocks if not re.search(rf"(?m)^({'|'.join(PIN)}):", block)]
    return result


def _take(result: Inherited, text: str) -> None:
    values = yaml.load(text, _Loader)
    if values is not None and not isinstance(values, dict):
        raise ValueError
    for name, comment, block in _blocks(text):
        if name == "image_build_arguments":
            base = values[name].get("BASE_IMAGE") if isinstance(values.get(name), dict) else ""
            result.base_image = base if isinstance(base, str) else ""
        if name.startswith(OWN) or not name.startswith(SHARED):
            if name.startswith(("postgresql_admin", "image_pull")):
                result.secrets.append(name)
            continue
        if _is_secret(name, values.get(name), block):
            result.secrets.append(name)
            continue
        result.values[name] = values.get(name)
        result.blocks.append(f"{comment}{block}")


class _Loader(yaml.SafeLoader):
    """Loader that takes vault values for texts."""


_Loader.add_multi_constructor("!", lambda loader, _, node: getattr(node, "value", ""))


def _is_secret(name: str, value: Any, block: str) -> bool:
    """Return whether a variable is, or contains, something that only its own inventory should have."""
    if "!vault" in block or "!unsafe" in block:
        return True
    return name not in NO_SECRET and (bool(SECRET.search(name)) or any(SECRET.search(key) for key in _keys(value)))


def _keys(value: Any) -> Iterator[str]:
    for key, inner in value.items() if isinstance(value, dict) else []:
        yield str(key)
        yield from _keys(inner)
    for inner in value if isinstance(value, list) else []:
        yield from _keys(inner)


def _blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, comment, and text of each variable in a file."""
    root = yaml.compose(text, _Loader)
    lines = text.splitlines(keepends=True)
    keys = [(key.value, key.start_mark.line) for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
    comment = _comment(lines[: keys[0][1]]) if keys else ""
    for index, (name, start) in enumerate(keys):
        end = keys[index + 1][1] if index + 1 < len(keys) else len(lines)
        block = lines[start:end]
        while block and (not block[-1].strip() or block[-1].startswith("#")):
            block.pop()
        yield str(name), comment, "".join(block).rstrip("\n") + "\n"
        comment = _comment(lines[start + len(block) : end])


def _comment(lines: list[str]) -> str:
    """Return the comment right above a variable, from the lines between it and the variable before."""
    comment: list[str] = []
    for line in reversed(lines):
        if not line.startswith("#"):
            break
        comment.insert(0, line)
    return "".join(comment)
