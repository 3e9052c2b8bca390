"""Contents of the SBOM, and the readers of Go programs and of Alpine's package database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts" / "sbom"))

import make_sbom
from package_files import alpine_packages, go_modules

MODULES = """path\texample.org/front/cmd/front
mod\texample.org/front\t(devel)\t
dep\tgithub.com/caddyserver/caddy/v2\tv2.11.9\th1:aaaa=
dep\tgithub.com/BurntSushi/toml\tv1.5.0\th1:bbbb=
=>\texample.org/toml\tv1.6.0\th1:cccc=
dep\texample.org/legacy\tv3.0.0+incompatible\th1:dddd=
build\t-tags=nobadger
"""
ALPINE = """C:Q1abc=
P:busybox
V:1.37.0-r20
A:x86_64
F:bin
R:busybox

P:musl
V:1.2.5-r12
A:x86_64
"""


def length(number: int) -> bytes:
    """Return a number as Go writes it: seven bits a byte, the lowest first."""
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + length(number >> 7)


def program(modules: str, version: str = "go1.26.8", flags: int = 2) -> bytes:
    text = b"\x00" * 16 + modules.encode() + b"\xff" * 16
    strings = [version.encode(), text]
    header = b"\xff Go buildinf:" + bytes([8, flags]) + b"\x00" * 16
    return b"\x7fELF code" + header + b"".join(length(len(string)) + string for string in strings) + b"more code"


def test_a_go_program_names_its_modules_and_the_version_of_go() -> None:
    assert go_modules(program(MODULES)) == {
        "stdlib": "1.26.8",
        "github.com/caddyserver/caddy/v2": "v2.11.9",
        "example.org/toml": "v1.6.0",
        "example.org/legacy": "v3.0.0+incompatible",
    }


def test_experiments_of_go_are_no_part_of_its_version() -> None:
    assert go_modules(program("", "go1.26.8 X:nodwarf5")) == {"stdlib": "1.26.8"}


@pytest.mark.parametrize("content", [b"", b"\x7fELF", program(MODULES, flags=0), b"#!/bin/sh\n"])
def test_another_program_has_no_modules(content: bytes) -> None:
    assert go_modules(content) == {}


def test_alpine_names_its_packages() -> None:
    assert alpine_packages(ALPINE) == [("busybox", "1.37.0-r20", "x86_64"), ("musl", "1.2.5-r12", "x86_64")]
    assert alpine_packages("") == []


def described(**parts: list[dict[str, Any]]) -> Any:
    """Return a stand-in for what reads an image, by the name of the image."""

    def describe(image: str, reference: str) -> tuple[dict[str, Any], str, list[dict[str, Any]]]:
        whole = {"bom-ref": reference, "name": image, "hashes": [{"alg": "SHA-256", "content": f"hash of {image}"}]}
        dependencies = [{"ref": "python-3.13", "dependsOn": []}, {"ref": "unknown", "dependsOn": []}]
        return whole, f"day of {image}", [{"components": parts[image]}, {"dependencies": dependencies}, {}]

    return describe


def test_the_first_image_is_the_subject_and_the_others_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    caddy, python = make_sbom.library("golang", "example.org/Caddy", "v2+more"), {"bom-ref": "python-3.13"}
    both = make_sbom.library("deb/debian", "libc6", "2.41", "?arch=amd64")
    assert caddy["purl"] == "pkg:golang/example.org/caddy@v2%2Bmore"
    monkeypatch.setattr(make_sbom, "describe", described(site=[python, both], front=[caddy, both]))
    found = make_sbom.bill(["site", "front"])
    assert found["metadata"]["component"]["name"] == "site"
    assert found["metadata"]["timestamp"] == "day of site"
    assert [component["bom-ref"] for component in found["components"]] == [
        "image-1",
        "pkg:deb/debian/libc6@2.41?arch=amd64",
        "pkg:golang/example.org/caddy@v2%2Bmore",
        "python-3.13",
    ]
    assert found["dependencies"] == [
        {"ref": "image", "dependsOn": [both["bom-ref"], "python-3.13", "image-1"]},
        {"ref": "image-1", "dependsOn": [both["bom-ref"], caddy["bom-ref"]]},
        {"ref": "python-3.13", "dependsOn": []},
    ]
    assert found["serialNumber"] != make_sbom.bill(["site"])["serialNumber"]
    assert found == make_sbom.bill(["site", "front"])


def test_an_image_that_names_nothing_is_no_good_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_sbom, "describe", described(empty=[]))
    with pytest.raises(make_sbom.Stopped, match="Image empty has no list of packages"):
        make_sbom.bill(["empty"])
