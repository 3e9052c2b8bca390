# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Error of a project that cannot be adopted."""

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.api.errors import CloudDjangoError


class AdoptError(CloudDjangoError):
    """A directory is no Django project, or its inventory cannot be written."""
