"""ThirdPartyNotices.txt has the licence of every library whose headers we include.

    notices_test.py BUILD/ThirdPartyNotices.txt
"""

import re
import sys
import unittest
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1]
NOTICES = Path(sys.argv.pop()).read_text(encoding="utf-8")
TABLE = re.findall(r'^ *(?:list\(APPEND notices )?"([^"|]+)\|([^"|]*)\|[^"]+"', (SOURCES / "cmake" / "notices.cmake").read_text(), re.M)

# Headers of C, of C++ and of Linux.
SYSTEM = re.compile(r"[a-z_]+(\.h)?|sys/\w+\.h")
# Words that only the licence of this library has.
WORDS = {
    "ONNX": "Apache License",
    "Protocol Buffers": "Google Inc",
    "JSON for Modern C++": "Niels Lohmann",
    "CLI11": "University of Cincinnati",
    "fmt": "Victor Zverovich",
    "Eigen": "MPL",
    "zlib": "Jean-loup Gailly",
    "curl": "Daniel Stenberg",
    "ONNX Runtime": "Microsoft Corporation",
    "GCC's C++ runtime library": "Runtime Library Exception",
    "nanobind": "Wenzel Jakob",
    "robin_map, in nanobind": "Thibaut Goetghebuer-Planchon",
}


def section(name: str) -> str:
    """The part of the file about a library."""
    heads = "|".join(re.escape(one) for one, _ in TABLE)
    parts = re.split(rf"^({heads})\n\n", NOTICES, flags=re.M)
    return "".join(body for head, body in zip(parts[1::2], parts[2::2], strict=True) if head == name)


def included() -> set[str]:
    """The third-party headers that our sources include."""
    found: set[str] = set()
    for folder in ("src", "include", "python/src", "cmake"):
        for path in (SOURCES / folder).rglob("*"):
            if path.suffix in (".h", ".cpp"):
                found |= set(re.findall(r"^#\s*include <([^>]+)>", path.read_text(encoding="utf-8"), re.M))
    return {one for one in found if one in ("zlib.h", "onnxruntime_c_api.h") or not SYSTEM.fullmatch(one)}


class Notices(unittest.TestCase):
    def test_every_library_is_in_the_table(self) -> None:
        prefixes = tuple(headers for _, headers in TABLE if headers)
        self.assertEqual({one for one in included() if not one.startswith(prefixes)}, set())

    def test_every_entry_of_the_table_is_used(self) -> None:
        names = included()
        self.assertEqual([name for name, headers in TABLE if headers and not any(one.startswith(headers) for one in names)], [])

    def test_every_library_has_its_licence(self) -> None:
        self.assertEqual({name for name, _ in TABLE}, set(WORDS))
        with_python = section("nanobind") != ""
        for name, word in WORDS.items():
            if with_python or "nanobind" not in name:
                self.assertIn(word, section(name), name)


if __name__ == "__main__":
    unittest.main()
