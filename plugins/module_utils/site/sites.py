# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for several sites of one inventory, which share its cluster."""

from collections.abc import Iterator, Mapping
from typing import Any

# Roles that a run uses once for all sites, with the variables of one host.
ONCE = ("cluster_", "container_engine_", "mirror_builds_")
# Variables of these roles that can differ, because a site can have an account of its own on the cluster.
OF_A_SITE = ("cluster_account_kubeconfig", "cluster_account_state", "cluster_check_rights", "cluster_context")
OF_A_SITE += ("cluster_kubeconfig",)


def shared_cluster(host: str, own: Mapping[str, Any], first: str, others: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error if two hosts of an inventory define different clusters.

    A run provides the cluster with the variables of its first host, which depends on --limit. So they must be the same
    for all hosts. An existing cluster is never changed, so the hosts may have different ones.

    Args:
        host: name of a host.
        own: variables of the host in the inventory, before templates are evaluated.
        first: name of the first host of the group.
        others: variables of the first host, likewise.
    """
    if "existing" in (own.get("cluster_provider"), others.get("cluster_provider")):
        return
    names = {name for name in {*own, *others} if str(name).startswith(ONCE) and name not in OF_A_SITE}
    missing = object()
    if different := sorted(name for name in names if own.get(name, missing) != others.get(name, missing)):
        yield (
            f"The hosts {first} and {host} have different values of {', '.join(different)}, but all sites of an "
            f"inventory share its cluster. Set {'them' if different[1:] else 'it'} in group_vars/all."
        )
