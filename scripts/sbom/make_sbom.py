"""Write a CycloneDX SBOM of images: packages of Debian, Alpine, and Python, and Go modules, with package URLs.

    .venv/sbom/bin/python scripts/sbom/make_sbom.py [--check] FILE IMAGE...

The file describes the first image; the others are components of it. debsbom reads Debian's part, and cyclonedx-bom
reads Python's. Both read the image's own files. Only Python runs in the image, to print its search path.
The same images give the same file. --check only reports whether it would be written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

from package_files import alpine_packages, go_modules

TOOLS = Path(sys.executable).parent
SCHEMA = "1.6"
# Files that list installed packages, besides programs.
LISTS = (".dist-info/", ".egg-info/", "lib/apk/db/installed/", "var/lib/dpkg/status")
QUESTION = "import json, platform, sys; print(json.dumps([platform.python_version(), sys.path]))"


class Stopped(Exception):
    """Error for the user: the file can't be written."""


def run(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Stopped(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def unpack(image: str, folder: Path) -> Path:
    """Return the image's files as an archive, and extract the package lists into the directory."""
    container = run("docker", "create", image, "true").strip()
    archive = folder.with_suffix(".tar")
    try:
        run("docker", "export", f"--output={archive}", container)
    finally:
        run("docker", "rm", container)
    with tarfile.open(archive) as files:
        wanted = [entry for entry in files if any(part in f"{entry.name}/" for part in LISTS)]
        files.extractall(folder, wanted, filter="data")
    return archive


def library(kind: str, name: str, version: str, qualifiers: str = "") -> dict[str, Any]:
    """Return a component whose reference is its package URL."""
    url = f"pkg:{kind}/{quote(name.lower())}@{quote(version)}{qualifiers}"
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}


def python_part(image: str, folder: Path) -> dict[str, Any]:
    """Return Python and its packages; nothing for an image without packages."""
    if not any(folder.rglob("*.dist-info")):
        return {}
    printed = run("docker", "run", "--rm", "--network=none", "--entrypoint=python", image, "-c", QUESTION)
    version, path = json.loads(printed)
    inside = [str(folder / entry.lstrip("/")) for entry in path if entry]
    # cyclonedx-bom runs an interpreter to get its search path. This script prints the image's.
    stand_in = folder / "python"
    stand_in.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(inside)}\nEND\n", encoding="utf-8")
    stand_in.chmod(0o755)
    command = [str(TOOLS / "cyclonedx-py"), "environment", str(stand_in), f"--spec-version={SCHEMA}"]
    packages = json.loads(run(*command, "--output-reproducible"))
    interpreter = library("generic", "python", version) | {"type": "application", "bom-ref": f"python-{version}"}
    return packages | {"components": [interpreter, *packages.get("components", [])]}


def go_part(archive: Path) -> dict[str, Any]:
    """Return the modules of the Go programs, including Go's standard library."""
    modules: set[tuple[str, str]] = set()
    with tarfile.open(archive) as files:
        for entry in files:
            if entry.isfile() and entry.mode & 0o111 and (content := files.extractfile(entry)):
                modules.update(go_modules(content.read()).items())
    return {"components": [library("golang", *module) for module in sorted(modules)]}


def alpine_part(folder: Path) -> dict[str, Any]:
    """Return Alpine's packages; nothing for an image of another distribution."""
    databases = [path.read_text(encoding="utf-8") for path in folder.rglob("lib/apk/db/installed")]
    packages = [package for database in databases for package in alpine_packages(database)]
    return {"components": [library("apk/alpine", name, number, f"?arch={arch}") for name, number, arch in packages]}


def debian_part(archive: Path, folder: Path) -> dict[str, Any]:
    """Return Debian's packages; nothing for an image of another distribution."""
    if not any(folder.glob("var/lib/dpkg/status*")):
        return {}
    with archive.open("rb") as files:
        command = [str(TOOLS / "debsbom"), "generate", "--root=-", "--sbom-type=cdx", "--out=-"]
        done = subprocess.run(
            [*command, f"--cdx-schema-version={SCHEMA}"], stdin=files, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise Stopped(f"debsbom failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def describe(image: str, reference: str) -> tuple[dict[str, Any], str, list[dict[str, Any]]]:
    """Return an image as a component, its creation time, and the documents of its parts."""
    inspect = ["docker", "image", "inspect", image, "--format=[{{json .Id}},{{json .Created}}]"]
    # The container engine lacks images that the nodes pulled themselves.
    if subprocess.run(inspect, capture_output=True, check=False).returncode and (
        subprocess.run(["docker", "pull", "--quiet", image], capture_output=True, check=False).returncode
    ):
        raise Stopped(
            f"Image {image} is missing in the container engine. Run `make up` to build it, then rerun the command."
        )
    identifier, created = json.loads(run(*inspect))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "root")
        folder.mkdir()
        archive = unpack(image, folder)
        parts = [python_part(image, folder), debian_part(archive, folder), alpine_part(folder), go_part(archive)]
    path, _, last = image.partition("@")[0].rpartition("/")
    name, _, tag = last.partition(":")
    whole = {
        "type": "container",
        "bom-ref": reference,
        "name": f"{path}/{name}" if path else name,
        "version": tag or identifier,
        "hashes": [{"alg": "SHA-256", "content": identifier.removeprefix("sha256:")}],
    }
    return whole, created, parts


def bill(images: list[str]) -> dict[str, Any]:
    """Return the SBOM of images. The first one is its subject."""
    components: dict[str, dict[str, Any]] = {}
    dependencies: dict[str, dict[str, Any]] = {}
    wholes = []
    for number, image in enumerate(images):
        whole, created, parts = describe(image, f"image-{number}" if number else "image")
        inside = [component for part in parts for component in part.get("components", [])]
        if not inside:
            raise Stopped(
                f"Image {image} has no list of packages, so it has no SBOM. Use an image with a package database."
            )
        components |= {component["bom-ref"]: component for component in inside}
        for entry in (entry for part in parts for entry in part.get("dependencies", [])):
            dependencies[entry["ref"]] = entry
        wholes.append((whole, created, sorted({component["bom-ref"] for component in inside})))
    subject, created, _ = wholes[0]
    others = [whole for whole, _, _ in wholes[1:]]
    contained = {whole["bom-ref"]: references for whole, _, references in wholes}
    contained["image"] = [*contained["image"], *(other["bom-ref"] for other in others)]
    identity = " ".join(whole["hashes"][0]["content"] for whole, _, _ in wholes)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SCHEMA,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, identity)}",
        "version": 1,
        "metadata": {"timestamp": created, "component": subject},
        "components": [*others, *(components[reference] for reference in sorted(components))],
        "dependencies": [
            *({"ref": reference, "dependsOn": references} for reference, references in contained.items()),
            *(dependencies[reference] for reference in sorted(dependencies) if reference in components),
        ],
    }


def check(text: str) -> None:
    """Raise Stopped if the text doesn't match CycloneDX's schema."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise Stopped(f"The SBOM is not valid: {str(error)[:500]}")


def main(path: Path, images: list[str], check_only: bool) -> None:
    """Write the file if it would differ, and print whether it differs and the number of components, as JSON."""
    found = bill(images)
    text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    check(text)
    urls = [component["purl"] for component in found["components"] if "purl" in component]
    kinds = [url.partition("/")[0].removeprefix("pkg:") for url in urls]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))
    is_changed = not path.is_file() or path.read_text(encoding="utf-8") != text
    if is_changed and not check_only:
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    state = ("would be written" if check_only else "written") if is_changed else "unchanged"
    print(json.dumps({"changed": is_changed, "message": f"{path} is {state}. It lists packages: {counts}."}))


if __name__ == "__main__":
    try:
        file, *images = (argument for argument in sys.argv[1:] if argument != "--check")
        main(Path(file), images, "--check" in sys.argv)
    except Stopped as stopped:
        sys.exit(str(stopped))
