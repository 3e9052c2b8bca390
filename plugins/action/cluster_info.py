# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Runs the module cluster_info; its documentation stands in the module of that name."""

from __future__ import annotations

from ansible_collections.cloud_django.kubernetes.plugins.modules import cluster_info
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.direct import DirectActionModule


class ActionModule(DirectActionModule):
    """The controller's side of the module."""

    main = staticmethod(cluster_info.main)
