"""Read packages from the files that list them: Go programs and Alpine's package database."""

from __future__ import annotations

import re

# Build information since Go 1.18: pointer size, a bit for strings inside, and padding. Two strings follow.
GO_HEADER = re.compile(rb"\xff Go buildinf:.[\x02\x03].{16}", re.DOTALL)
GO_MODULE = re.compile(r"^(?:mod|dep)\t(\S+)\t(\S+).*(?:\n=>\t(\S+)\t(\S+))?", re.MULTILINE)


def go_string(program: bytes, at: int) -> tuple[bytes, int]:
    """Return the string at an offset and the offset after it. Its length comes first, in groups of seven bits."""
    length = shift = 0
    while True:
        byte = program[at]
        length |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return program[at : at + length], at + length


def go_modules(program: bytes) -> dict[str, str]:
    """Return the modules in a Go program and their versions; nothing for another program."""
    header = GO_HEADER.search(program)
    if not header:
        return {}
    version, after = go_string(program, header.end())
    text, _ = go_string(program, after)
    found = {"stdlib": version.decode().removeprefix("go").partition(" ")[0]}
    # Sixteen bytes of binary data surround the list.
    for name, version_of_it, other_name, other_version in GO_MODULE.findall(text[16:-16].decode()):
        found[other_name or name] = other_version or version_of_it
    # A module that was compiled in its own directory has no version.
    return {name: number for name, number in found.items() if number != "(devel)"}


def alpine_packages(database: str) -> list[tuple[str, str, str]]:
    """Return the name, version, and architecture of each installed package."""
    records = [dict(re.findall(r"^([PVA]):(.*)$", record, re.MULTILINE)) for record in database.split("\n\n")]
    return [(record["P"], record["V"], record["A"]) for record in records if record.keys() >= {"P", "V", "A"}]
