"""The program asks for nothing that is newer than glibc 2.28 and the C++ runtime of gcc 8.

    portable_test.py PROGRAM COMPILER
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

COMPILER, PROGRAM = sys.argv.pop(), sys.argv.pop()
NEWEST = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11), "GCC": (7, 0, 0)}
LIBRARIES = {
    "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0", "libstdc++.so.6",
}


def output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def too_new(file: str) -> set[str]:
    """Versions of symbols that a file asks for and that old systems lack."""
    needed = output("readelf", "--version-info", "--wide", file).partition(".gnu.version_r")[2]
    found = set(re.findall(r"Name: ([A-Z]+)_([\d.]+)", needed))
    return {f"{family}_{number}" for family, number in found if tuple(map(int, number.split("."))) > NEWEST[family]}


class Portable(unittest.TestCase):
    def test_versions_of_symbols(self) -> None:
        self.assertEqual(too_new(PROGRAM), set())

    def test_libraries(self) -> None:
        needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "--dynamic", "--wide", PROGRAM)))
        self.assertLessEqual(needed, LIBRARIES)

    def test_another_program_would_be_too_new(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "any.cpp"
            source.write_text("int main() {}\n")
            subprocess.run([COMPILER, str(source), "-o", folder + "/any"], check=True)
            self.assertIn("GLIBC_2.34", too_new(folder + "/any"))


if __name__ == "__main__":
    unittest.main()
