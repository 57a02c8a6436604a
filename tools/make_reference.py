#!/usr/bin/env python3
"""Writes docs/reference/ from the comments of the public headers and the docstrings of the Python package.

    tools/make_reference.py --write | --check     --check: fails if a page is not what --write would make

tools/setup.sh docs installs what reads the headers.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1]
TOOLS = SOURCES / "tools" / "reference"
PAGES = SOURCES / "docs" / "reference"

HEAD = "<!-- Written by ./dev docs. -->\n\n"


def packages() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "onnxport"
    digest = hashlib.sha256((TOOLS / "requirements.txt").read_bytes()).hexdigest()[:12]
    folder = cache / f"reference-{digest}"
    if not folder.is_dir():
        sys.exit(f"{folder} is missing: run tools/setup.sh docs")
    return folder


def make() -> dict[str, str]:
    """All pages, by their path in docs/reference."""
    sys.path[:0] = [str(packages()), str(TOOLS)]
    import cpp_pages
    import python_pages

    cpp = cpp_pages.pages(SOURCES / "include", packages() / "clang" / "native")
    python = python_pages.pages(SOURCES / "python" / "onnxport")
    made = {f"cpp/{name}": text for name, text in cpp.items()} | {
        f"python/{name}": text for name, text in python.items()
    }
    index = [
        "# Reference\n",
        "All declarations of the public headers and of the Python package. [api.md](../api.md) and [python.md](../python.md)",
        "explain how to use them.\n",
    ]
    for title, folder, names in (("Python", "python", sorted(python)), ("C++", "cpp", sorted(cpp))):
        index.append(f"## {title}\n")
        index += [f"- [{page_title(made[f'{folder}/{name}'])}]({folder}/{name})" for name in names]
        index.append("")
    made["README.md"] = "\n".join(index).rstrip() + "\n"
    return {name: HEAD + text for name, text in made.items()}


def page_title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")


def main() -> None:
    if sys.argv[1:] not in (["--write"], ["--check"]):
        sys.exit(__doc__)
    made = make()
    if sys.argv[1] == "--write":
        shutil.rmtree(PAGES, ignore_errors=True)
        for name, text in made.items():
            path = PAGES / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return
    there = {
        path.relative_to(PAGES).as_posix(): path.read_text(encoding="utf-8") for path in PAGES.rglob("*.md")
    }
    stale = sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))
    if stale:
        sys.exit(
            f"docs/reference is not current: run ./dev docs; {len(stale)} pages differ, such as {stale[0]}"
        )


if __name__ == "__main__":
    main()
