#!/usr/bin/env python3
"""Runs clang-tidy on C++ files, except on those that passed before and have not changed since.

    tools/tidy.py CLANG_TIDY BUILD JOBS FILE...     BUILD: the folder with compile_commands.json

A file has changed if its command line (but for the level of optimization), the checks, clang-tidy itself, or a header of
the project that it includes has.
Headers of other projects are pinned: their versions are in the command line. `clang_tidy_passed` beside the project's
other caches records the files that passed, for all clones.
"""

from __future__ import annotations

import concurrent.futures
import functools
import hashlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "onnxport" / "clang_tidy_passed"


@functools.lru_cache(maxsize=None)
def digest(path: Path) -> str:
    """Of a file's bytes; empty if there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


class Source:
    """A file, its command line, and the record of its last pass."""

    def __init__(self, entry: dict, tool: str) -> None:
        self.path = Path(entry["file"])
        self.folder = Path(entry["directory"])
        self.command = shlex.split(entry["command"])
        line = " ".join(word for word in self.command if not word.startswith("-O")).replace(str(SOURCES), ".")
        self.key = hashlib.sha256(f"{tool} {line} {digest(SOURCES / '.clang-tidy')}".encode()).hexdigest()
        self.memory = CACHE / f"{self.key}.json"

    def passed(self) -> bool:
        try:
            known = json.loads(self.memory.read_text())
        except (OSError, ValueError):
            return False
        return all(digest(SOURCES / name) == value for name, value in known.items())

    def inputs(self) -> dict[str, str]:
        """The digests of the file and of the project's headers that it includes, by path."""
        made = self.command[:self.command.index("-o")] + self.command[self.command.index("-o") + 2:]
        made[made.index("-c")] = "-MM"
        rule = subprocess.run(made, cwd=self.folder, check=True, capture_output=True, text=True).stdout
        found = {}
        for name in shlex.split(rule.split(":", 1)[1].replace("\\\n", " ")):
            path = (self.folder / name).resolve()
            if path.is_relative_to(SOURCES):
                found[str(path.relative_to(SOURCES))] = digest(path)
        return found

    def remember(self, inputs: dict[str, str]) -> None:
        """Records that the file passed with these inputs."""
        CACHE.mkdir(parents=True, exist_ok=True)
        scratch = self.memory.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps(inputs))
        scratch.replace(self.memory)


def check(source: Source, clang_tidy: str, build: str) -> str:
    """The findings, which are empty if the file passes."""
    try:
        inputs = source.inputs()  # before the check: an edit meanwhile must count as one
    except subprocess.CalledProcessError as error:
        return error.stderr
    run = subprocess.run([clang_tidy, "-p", build, "--quiet", "--extra-arg=-Wno-unknown-warning-option", str(source.path)],
                         capture_output=True, text=True)
    if run.returncode == 0 and not run.stdout.strip():
        source.remember(inputs)
        return ""
    return run.stdout + (run.stderr if not run.stdout.strip() else "")


def main() -> int:
    clang_tidy, build, jobs, *files = sys.argv[1:]
    tool = subprocess.run([clang_tidy, "--version"], check=True, capture_output=True, text=True).stdout
    entries = {Path(e["file"]).resolve(): e for e in json.loads((Path(build) / "compile_commands.json").read_text())}
    wanted = [Path(name).resolve() for name in files]
    unknown = [str(path) for path in wanted if path not in entries]
    if unknown:
        print(f"tidy: no target of {build} compiles {', '.join(unknown)}", file=sys.stderr)
        return 1
    sources = [Source(entries[path], tool) for path in wanted]
    changed = [source for source in sources if not source.passed()]
    print(f"clang-tidy: {len(changed)} of {len(sources)} files have changed since they passed", flush=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(int(jobs)) as pool:
        for done, findings in enumerate(pool.map(lambda source: check(source, clang_tidy, build), changed), 1):
            if sys.stderr.isatty():
                print(f"\r{done} of {len(changed)}", end="\r" if done < len(changed) else "\n", file=sys.stderr)
            if findings:
                failed += 1
                print(findings, flush=True)
    if failed:
        print(f"lint: findings in {failed} files")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
