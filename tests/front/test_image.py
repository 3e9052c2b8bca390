"""Caddy's image and the file capability of the official image, in a container that is hardened like a pod."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

IMAGE = os.environ.get("TEST_FRONT_IMAGE", "localhost/cloud-django/caddy:2.11.9")
DEBIAN = os.environ.get("TEST_DEBIAN_IMAGE", "localhost/cloud-django/debian:trixie")
# This inventory builds the images. Other inventories may not have them.
BUILDS = Path(os.environ.get("TEST_INVENTORY", "inventory/mirrors")).name == "mirrors"
OFFICIAL = "localhost/cloud-django-test/caddy:capability"
Run = Callable[..., subprocess.CompletedProcess[str]]
HARDENED = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=10001:10001", "--network=none"]


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    """Skip these tests if the inventory does not build the images."""
    missing = [image for image in (IMAGE, DEBIAN) if docker("image", "inspect", image).returncode]
    if missing and not BUILDS:
        names = " and ".join(missing)
        pytest.skip(
            f"TEST_INVENTORY does not build {names}. Set TEST_FRONT_IMAGE and TEST_DEBIAN_IMAGE to existing images."
        )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs a program in an image, with a directory at /front like an emptyDir."""
    tmp_path.chmod(0o777)
    return lambda image, *words: docker("run", "--rm", *HARDENED, f"--volume={tmp_path}:/front", image, *words)


@pytest.fixture(scope="module")
def official() -> Iterator[str]:
    """Return an image whose program has the file capability of the official image."""
    recipe = Path(__file__).with_name("capability.Dockerfile")
    arguments = [f"--build-arg=CADDY={IMAGE}", f"--build-arg=DEBIAN={DEBIAN}", f"--tag={OFFICIAL}"]
    built = docker("build", "--quiet", f"--file={recipe}", *arguments, str(recipe.parent))
    assert built.returncode == 0, built.stderr
    yield OFFICIAL
    docker("image", "rm", "--force", OFFICIAL)


def test_built_image_runs(run: Run) -> None:
    started = run(IMAGE, "/usr/bin/caddy", "version")
    assert started.stdout.strip() == f"v{IMAGE.rpartition(':')[2]}", started.stderr


def test_file_capability_prevents_the_start(run: Run, official: str) -> None:
    started = run(official, "/usr/bin/caddy", "version")
    assert started.returncode != 0
    assert "operation not permitted" in started.stderr


@pytest.mark.parametrize("name", ["image that is built here", "official image"])
def test_copy_has_no_capability_and_starts_from_both_images(
    run: Run, name: str, request: pytest.FixtureRequest
) -> None:
    image = IMAGE if name == "image that is built here" else request.getfixturevalue("official")
    copied = run(image, "cp", "/usr/bin/caddy", "/front/caddy")
    assert copied.returncode == 0, copied.stderr
    started = run(image, "/front/caddy", "version")
    assert started.stdout.startswith("v2."), started.stderr
