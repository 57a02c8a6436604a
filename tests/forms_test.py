"""The objects that are compiled for some processors (src/reference/product_kernel.h) share no function with the others.

    forms_test.py OBJECT…

The linker keeps one of several functions with one name. If it were one with wide vectors, a processor without them would
run it.
"""

import re
import subprocess
import sys
import unittest
from pathlib import Path

OBJECTS = [sys.argv.pop() for _ in range(len(sys.argv) - 1)]


def shared(path: str) -> list[str]:
    """The functions and variables that the linker merges with those of other objects."""
    lines = subprocess.run(["nm", "--demangle", "--defined-only", path], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    symbols = [re.fullmatch(r"[0-9a-f]+ ([uVW]) (.*)", line) for line in lines]
    return [symbol[2] for symbol in symbols if symbol and symbol[2] != "DW.ref.__gxx_personality_v0"]


class Forms(unittest.TestCase):
    def test_each_has_names_of_its_own(self) -> None:
        self.assertGreater(len(OBJECTS), 0)
        owners: dict[str, str] = {}
        for path in OBJECTS:
            form = re.search(r"product_(\w+)\.cpp", Path(path).name)[1]
            for name in shared(path):
                with self.subTest(form=form, symbol=name):
                    self.assertRegex(name, rf"\bEigen{form.capitalize()}::")
                    self.assertEqual(owners.setdefault(name, path), path)


if __name__ == "__main__":
    unittest.main()
