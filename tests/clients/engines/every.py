"""Every type, in OpenVINO and in an old ONNX Runtime: they compile the files and give the recorded outputs.

    python3 every.py ENGINE PROGRAM CACHE WORK [--part I/N] [--others | --all] [TYPE…]      the others as in test.py

It takes one fixture for each task of the types that see, with --others one fixture of each other type, and with --all
one for each task of every type. --part takes every Nth of them, from number I on.
"""
import argparse
import json
import sys
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from packages import PACKAGES, use_engine  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("engine", choices=PACKAGES)
parser.add_argument("program", type=lambda text: Path(text).resolve())
parser.add_argument("cache", type=lambda text: Path(text).resolve())
parser.add_argument("work", type=lambda text: Path(text).resolve())
parser.add_argument("--part", default="0/1")
parser.add_argument("--others", action="store_true")
parser.add_argument("--all", action="store_true")
parser.add_argument("types", nargs="*")
ARGUMENTS = parser.parse_intermixed_args()
use_engine(ARGUMENTS.cache, ARGUMENTS.engine)

from engines import ENGINES, GOLDEN, check_fixture  # noqa: E402

SEEN = {"pixel_values", "pixel_values_videos", "flattened_patches", "image_patches"}


def sees(expected):
    return expected["library"] == "timm" or any(SEEN & set(file["inputs"]) for file in expected["files"].values())


def tasks_of(folder):
    """The fixtures of a type's tasks, without variants, and what they expect. Folders of diffusers have their own test."""
    for fixture in sorted(folder.iterdir()):
        path, is_variant = fixture / "expected.json", "+" in fixture.name and folder.name != "timm"  # as in names of timm
        if path.exists() and not is_variant:
            expected = json.loads(path.read_text())
            if expected["library"] != "diffusers":
                yield f"{folder.name}/{fixture.name}", expected


def fixtures():
    for folder in sorted(GOLDEN.iterdir()):
        if not folder.is_dir() or (ARGUMENTS.types and folder.name not in ARGUMENTS.types):
            continue
        names, seeing = [], []
        for name, expected in tasks_of(folder):
            names.append(name)
            if sees(expected):
                seeing.append(name)
        if ARGUMENTS.all:
            yield from names
        elif not ARGUMENTS.others:
            yield from seeing
        elif not seeing:
            yield from names[-1:]  # with a past, where there is one


class Types(unittest.TestCase):
    pass


def add(name):
    def test(self):
        check_fixture(self, ENGINES[ARGUMENTS.engine], name, ARGUMENTS.program, ARGUMENTS.work)

    setattr(Types, f"test_{name}", test)


first, parts = (int(number) for number in ARGUMENTS.part.split("/"))
for name in list(fixtures())[first::parts]:
    add(name)
start = time.time()
program = unittest.main(argv=sys.argv[:1], exit=False)
print(f"{program.result.testsRun} fixtures in {ARGUMENTS.engine}: {time.time() - start:.0f} s")
sys.exit(not program.result.wasSuccessful())
