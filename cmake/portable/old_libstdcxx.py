#!/usr/bin/env python3
"""Writes a shared library that has only the old symbols of libstdc++.so.6, to link against.

    old_libstdcxx.py LIBRARY FOLDER [COMPILER]     writes FOLDER/libstdc++.so

A program that is linked against it, and then against libstdc++.a, takes the part that gcc 8 has from the C++ runtime of
the user's system, and brings newer parts along. Exceptions still cross between the program and its plugins, since there is
one C++ runtime: with a static one, they would end in abort().
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

# The newest versions of manylinux_2_28.
NEWEST = {"GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11)}


def is_old(version: str) -> bool:
    family, _, number = version.partition("_")
    if family not in NEWEST or not re.fullmatch(r"[\d.]+", number):
        return False
    return tuple(map(int, number.split("."))) <= NEWEST[family]


def symbols(library: str) -> dict[str, list[tuple[str, str, int]]]:
    """(name, kind, size) of the symbols of each old version."""
    text = subprocess.run(
        ["readelf", "--dyn-syms", "--wide", library], check=True, capture_output=True, text=True
    ).stdout
    found = defaultdict(list)
    for line in text.splitlines():
        parts = line.split()
        if len(parts) < 8 or parts[6] == "UND" or parts[3] not in ("FUNC", "OBJECT", "TLS", "IFUNC"):
            continue
        name, default, version = parts[7].partition("@@")
        if default and is_old(version):
            kind = "function" if parts[3] in ("FUNC", "IFUNC") else "object"
            found[version].append((name, "tls" if parts[3] == "TLS" else kind, int(parts[2], 0)))
    return found


def assembly(found: dict[str, list[tuple[str, str, int]]]) -> str:
    lines = []
    for name, kind, size in (one for group in found.values() for one in group):
        section = {"function": ".text", "object": ".data", "tls": '.section .tdata,"awT",@progbits'}[kind]
        label = {"function": "@function", "object": "@object", "tls": "@tls_object"}[kind]
        lines += [section, f".globl {name}", f".type {name}, {label}", f".size {name}, {size or 8}", f"{name}:"]
        # Objects that a program copies need room of their own. Code is never run.
        lines.append(f".zero {size or 8}" if kind != "function" else ".byte 0")
    return "\n".join([*lines, '.section .note.GNU-stack,"",@progbits', ""])


def version_script(found: dict[str, list[tuple[str, str, int]]]) -> str:
    nodes = [f"{version} {{ {' '.join(name + ';' for name, _, _ in found[version])} }};" for version in sorted(found)]
    return "\n".join([*nodes, "onnxport_rest { local: *; };", ""])


def main() -> None:
    library, folder, compiler = sys.argv[1], Path(sys.argv[2]), (sys.argv[3:] or ["c++"])[0]
    found = symbols(library)
    if not any(version.startswith("GLIBCXX") for version in found):
        sys.exit(f"{library}: no symbols of libstdc++.so.6")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stub.s").write_text(assembly(found))
    (folder / "stub.map").write_text(version_script(found))
    subprocess.run(
        [compiler, "-shared", "-nostdlib", "-Wl,-soname,libstdc++.so.6", f"-Wl,--version-script={folder / 'stub.map'}",
         str(folder / "stub.s"), "-o", str(folder / "libstdc++.so")],
        check=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
