"""Every type that sees, in OpenVINO and in an old ONNX Runtime: they compile the files and give the recorded outputs.

    python3 every.py ENGINE PROGRAM CACHE WORK [--part I/N] [--all] [TYPE…]      the others as in test.py

It takes one fixture for each task of a type; --part takes every Nth of them, from number I on. With --all, the types
that do not see, too. ONNX Runtime 1.17 runs all of them. OpenVINO 2026.4 refuses each Scan that takes values from outside
of its body: mixtures of experts, and recurrent states.
"""
import argparse
import json
import sys
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from packages import PACKAGES, REFUSED, use_engine  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("engine", choices=PACKAGES)
parser.add_argument("program", type=lambda text: Path(text).resolve())
parser.add_argument("cache", type=lambda text: Path(text).resolve())
parser.add_argument("work", type=lambda text: Path(text).resolve())
parser.add_argument("--part", default="0/1")
parser.add_argument("--all", action="store_true")
parser.add_argument("types", nargs="*")
ARGUMENTS = parser.parse_intermixed_args()
use_engine(ARGUMENTS.cache, ARGUMENTS.engine)

from engines import ENGINES, GOLDEN, check_fixture  # noqa: E402


def is_wanted(expected):
    if ARGUMENTS.all or expected["library"] == "timm":
        return expected["library"] != "diffusers"  # whose folders have their own test
    inputs = {name for file in expected["files"].values() for name in file["inputs"]}
    return bool(inputs & {"pixel_values", "pixel_values_videos", "flattened_patches", "image_patches"})


def fixtures():
    for folder in sorted(GOLDEN.iterdir()):
        if not folder.is_dir() or (ARGUMENTS.types and folder.name not in ARGUMENTS.types):
            continue
        for fixture in sorted(folder.iterdir()):
            is_variant = "+" in fixture.name and folder.name != "timm"  # whose names are those of architectures
            expected = fixture / "expected.json"
            if not is_variant and expected.exists() and is_wanted(json.loads(expected.read_text())):
                yield f"{folder.name}/{fixture.name}"


class Types(unittest.TestCase):
    pass


def add(name):
    def test(self):
        check_fixture(self, ENGINES[ARGUMENTS.engine], name, ARGUMENTS.program, ARGUMENTS.work)

    setattr(Types, f"test_{name}", test)


first, parts = (int(number) for number in ARGUMENTS.part.split("/"))
for name in list(fixtures())[first::parts]:
    if name not in REFUSED[ARGUMENTS.engine]:
        add(name)
start = time.time()
program = unittest.main(argv=sys.argv[:1], exit=False)
print(f"{program.result.testsRun} fixtures in {ARGUMENTS.engine}: {time.time() - start:.0f} s")
sys.exit(not program.result.wasSuccessful())
