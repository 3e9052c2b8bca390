# Copyright (c) The Cloud Django authors
# MIT License (see LICENSE)
"""Runs the module postgresql_credentials; its documentation stands in the module of that name."""

from __future__ import annotations

from ansible_collections.cloud_django.kubernetes.plugins.modules import postgresql_credentials
from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.direct import DirectActionModule


class ActionModule(DirectActionModule):
    """The controller's side of the module."""

    main = staticmethod(postgresql_credentials.main)
