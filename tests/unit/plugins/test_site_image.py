"""Rules for the variables of the image."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site import rules

VALID: dict[str, Any] = {
    "image_source": "build",
    "image_file": "python",
    "image_python": {
        "requirements": ["-r requirements.txt", "psycopg[binary]"],
        "packages": ["libpq5", "g++:amd64=4:14~1"],
    },
    "image_platforms": [],
    "image_provider": "kind",
    "image_reference": "localhost/shop:1",
    "web_command": ["gunicorn", "shop.wsgi"],
}
OWN: dict[str, Any] = {"image_file": "Dockerfile", "image_python": {}, "web_command": []}


def errors_of(**values: Any) -> list[str]:
    return list(rules.errors(VALID | values))


@pytest.mark.parametrize(
    "values",
    [
        {},
        OWN,
        {"image_platforms": ["linux/amd64", "linux/arm/v7"], "image_provider": "registry"},
        {"image_python": {"requirements": ["django"], "constraints": None, "packages": []}},
        {"image_python": {"requirements": ["shop @ git+ssh://git@git.example.org/shop", "https://u:${TOKEN}@a/b.whl"]}},
        # An image that exists needs none of the values for a build.
        OWN | {"image_source": "given", "image_file": "python", "image_platforms": ["linux/arm64"]},
        {"image_source": "given", "image_reference": "registry.example.org:5000/shop@sha256:d1"},
    ],
)
def test_valid_variables_have_no_errors(values: dict[str, Any]) -> None:
    assert errors_of(**values) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"image_platforms": ["linux/arm64"]}, "image_platforms is set, but image_provider is kind, which loads"),
        ({"image_platforms": ["arm64"], "image_provider": "registry"}, "image_platforms has arm64, which is not a"),
        (
            {"image_source": "given", "image_reference": "r.io:5000/shop"},
            "The image r.io:5000/shop has no tag, so nodes may run different images. Add one to app_image, for "
            "instance r.io:5000/shop:1.0, or a digest.",
        ),
        ({"image_file": "", "image_python": {}}, "image_file is empty."),
        ({"image_file": "Dockerfile"}, "image_python is set, but image_file is Dockerfile, which does not use it."),
        ({"image_python": {"packages": ["git"]}}, "image_python has no requirements, but image_file is python."),
        ({"web_command": []}, "web_command is empty, but image_file is python, whose image has no start command."),
        (
            {"image_python": {"requirements": ["django\ngunicorn"]}},
            "image_python.requirements has django\\ngunicorn, which is not one line. Write each line as an item.",
        ),
        ({"image_python": {"requirements": ["django"], "constraints": [" "]}}, "image_python.constraints has  , which"),
        (
            {"image_python": {"requirements": ["--extra-index-url https://user:s3cret@pypi.example.org/simple"]}},
            "image_python.requirements has a URL with credentials, which would be an argument of the build.",
        ),
        (
            {"image_python": {"requirements": ["shop @ git+https://s3cret@git.example.org/shop"]}},
            "image_python.requirements has a URL with credentials",
        ),
        (
            {"image_python": {"requirements": ["django"], "packages": ["git gcc"]}},
            "image_python.packages has git gcc, which is not the name of a Debian package.",
        ),
        (
            {"image_python": {"requirements": ["django"], "build_packages": ["-y"]}},
            "image_python.build_packages has -y",
        ),
    ],
)
def test_variables_that_no_build_can_use_are_refused(values: dict[str, Any], words: str) -> None:
    [error] = errors_of(**values)
    assert error.startswith(words)
    assert "s3cret" not in error
