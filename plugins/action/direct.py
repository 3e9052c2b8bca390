# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Action plugin of the modules that meta/runtime.yml routes here."""

from __future__ import annotations

from ansible_collections.cloud_django.kubernetes.plugins.plugin_utils.direct import DirectActionModule


class ActionModule(DirectActionModule):
    """The controller's side of each of these modules."""
