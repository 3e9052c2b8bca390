# Copyright (c) The Cloud Django authors, MIT License (see LICENSE)
"""Rules for the variables of the image."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.site.types import shown

# Debian's names of packages, and a version or a release.
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*(:[a-z0-9]+)?([=/][A-Za-z0-9.+:~-]+)?")
PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?")
# A URL with a password or a token, except one that pip takes from a variable of the environment.
CREDENTIALS = re.compile(r"https?://(?:[^/@\s:]*:)?(?!\$\{)[^/@\s:$]+@")
LINES, PACKAGES = ("requirements", "constraints"), ("packages", "build_packages")


def image_platforms(image_source: str, image_platforms: list[str], image_provider: str) -> Iterator[str]:
    """The nodes of a cluster on the control node have its platform."""
    if image_source == "given" or not image_platforms:
        return
    if image_provider != "registry":
        yield (
            f"image_platforms is set, but image_provider is {image_provider}, which loads the image of one platform. "
            "Remove image_platforms, or set image_provider to registry."
        )
    for platform in image_platforms:
        if not PLATFORM.fullmatch(platform):
            yield f"image_platforms has {shown(platform)}, which is not a platform. Write for instance linux/arm64."


def image_reference(image_source: str, image_reference: str) -> Iterator[str]:
    """Without a tag, nodes pull whatever is the latest image at that time."""
    name, _, digest = image_reference.partition("@")
    if image_source == "given" and not digest and ":" not in name.rpartition("/")[2]:
        yield (
            f"The image {shown(image_reference)} has no tag, so nodes may run different images. Add one to app_image, "
            f"for instance {shown(name)}:1.0, or a digest."
        )


def image_file(image_source: str, image_file: str, image_python: Mapping[str, Any]) -> Iterator[str]:
    if image_source == "given":
        return
    if not image_file:
        yield "image_file is empty. Set the path of a Dockerfile, or python."
    elif image_file != "python" and any(image_python.values()):
        yield (
            f"image_python is set, but image_file is {shown(image_file)}, which does not use it. Set image_file to "
            "python, or remove image_python."
        )
    elif image_file == "python" and not image_python.get("requirements"):
        yield (
            "image_python has no requirements, but image_file is python. List what pip installs, for instance "
            "[-r requirements.txt, gunicorn]."
        )


def image_python(image_python: Mapping[str, Any]) -> Iterator[str]:
    """A line with another one in it, or an option of apt-get, would change the meaning of the rest."""
    for name in LINES:
        for line in image_python.get(name) or []:
            if not line.strip() or "\n" in line:
                yield f"image_python.{name} has {shown(line)}, which is not one line. Write each line as an item."
            elif CREDENTIALS.search(line):
                yield (
                    f"image_python.{name} has a URL with credentials, which would be an argument of the build. Write "
                    "the URL into a pip.conf, and set pip_conf in image_build_secrets to its path."
                )
    for name in PACKAGES:
        for package in image_python.get(name) or []:
            if not PACKAGE.fullmatch(package):
                yield (
                    f"image_python.{name} has {shown(package)}, which is not the name of a Debian package. "
                    "Write each package as a separate item."
                )


def web_command(image_source: str, image_file: str, web_command: list[str]) -> Iterator[str]:
    if image_source == "build" and image_file == "python" and not web_command:
        yield (
            "web_command is empty, but image_file is python, whose image has no start command. Set one, for instance "
            "[gunicorn, shop.wsgi]."
        )


RULES: list[Callable[..., Iterator[str]]] = [
    image_platforms,
    image_reference,
    image_file,
    image_python,
    web_command,
]
