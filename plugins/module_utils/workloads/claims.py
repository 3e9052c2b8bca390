# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Claims of volumes, and settings of them that would fail later."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.client import AGAIN, Client, Obj
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import ManifestError
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.workloads import quantity

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def amount(size: str) -> Decimal:
    """Return the bytes of a volume's size. Raises ManifestError if it is not a quantity."""
    try:
        return quantity.parse(size)
    except ValueError:
        raise ManifestError(
            f"The size {size} of the volume", "is not a Kubernetes quantity", f"Write for example 10Gi, {AGAIN}"
        ) from None


def refuse_claim(claim: Mapping[str, Any], existing: Obj | None, client: Client, role: str) -> None:
    """Raise ManifestError if no volume can have the wanted size and storage class of a claim.

    Args:
        claim: the name, size, and storage class of the claim.
        existing: the claim in the cluster.
        client: client for the storage classes, which an unchanged run does not need.
        role: the role whose variables set the size and the class.
    """
    size, wanted = amount(claim["size"]), claim["storage_class"]
    if not existing:
        refuse_class(wanted, client.list("StorageClass"), role)
        return
    volume, move = f"The volume of claim {claim['name']}", f"or move the data by backup and restore, {AGAIN}"
    held, name = existing["spec"]["resources"]["requests"]["storage"], existing["spec"].get("storageClassName")
    if size < amount(held):
        step = f"Set {role}_storage_size to {held} or more, {AGAIN}"
        raise ManifestError(volume, f"has {held} and cannot shrink to {claim['size']}", step)
    if wanted and name != wanted:
        reason = f"has storage class {name or 'none'}, which cannot change to {wanted}"
        raise ManifestError(volume, reason, f"Restore {role}_storage_class, {move}")
    # Checked last, because an unchanged run does not need the storage classes.
    if size > amount(held) and not any(
        item["metadata"]["name"] == name and item.get("allowVolumeExpansion") for item in client.list("StorageClass")
    ):
        reason = f"has {held}, and its storage class {name or 'none'} cannot expand it to {claim['size']}"
        raise ManifestError(volume, reason, f"Set {role}_storage_size to {held}, {move}")


def refuse_class(wanted: str, classes: Sequence[Obj], role: str) -> None:
    """Raise ManifestError if the storage class is missing, or the default storage class if none is named."""
    names = sorted(item["metadata"]["name"] for item in classes)
    step = f"Set {role}_storage_class to {'one of ' + ', '.join(names) if names else 'one that you create'}, {AGAIN}"
    if wanted and wanted not in names:
        raise ManifestError(f"Storage class {wanted}", "does not exist in this cluster", step)
    if not wanted and not any((c["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true" for c in classes):
        raise ManifestError("This cluster", "has no default storage class", step)
