# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""What the modules that look into a profile of minikube have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of minikube."""

    DOCUMENTATION = r"""
options:
  minikube_profile:
    description: Name of a profile of minikube, whose running nodes are looked through. Unset, none are.
    type: str
  minikube_programs:
    description: Names on PATH or paths of minikube, the first that is there is used.
    type: list
    elements: str
    default: [minikube]
  minikube_home:
    description: The folder that minikube knows as C(MINIKUBE_HOME). Must be given with O(minikube_profile).
    type: path
"""
