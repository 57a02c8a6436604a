"""No call makes nodes in two of its arguments: C++ leaves their order open, and the order of nodes shows in exported files
(docs/architecture.md, Determinism). gcc itself takes another order on aarch64 than on x86_64.

    evaluation_order_test.py SOURCES

Looks for the calls by name, so nodes that a lambda or a module makes are not seen; tests/processors_test.py compares files.
"""

import re
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path

SOURCES = Path(sys.argv.pop())
ROOMS = ("nn", "op", "models", "exporter", "layout", "transform", "pass")
MAKES_NODE = re.compile(r"\bop::[a-z]\w*\(|\bg(?:raph)?(?:\(\))?\.weight(?:_as_is)?\(")
CALL = re.compile(r"[A-Za-z_][\w:.]*\(")
NO_CALLS = ("if", "for", "while", "switch", "return")
# Raw strings, strings, comments
NO_CODE = re.compile(r'R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|//[^\n]*', re.DOTALL)


def code_of(text: str) -> str:
    """Without strings and comments, on the same lines."""
    return NO_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def arguments(code: str, at: int) -> list[str]:
    """Those of the call whose parenthesis opens at `at`."""
    depth, start, found = 0, at + 1, []
    for i in range(at, len(code)):
        if code[i] in "([{":
            depth += 1
        elif code[i] in ")]}":
            depth -= 1
            if depth == 0:
                return [*found, code[start:i]]
        elif code[i] == "," and depth == 1:
            found.append(code[start:i])
            start = i + 1
    return []


def calls_in_question(code: str) -> Iterator[tuple[int, str]]:
    """(line, text) of the calls of which two arguments make nodes. Lambdas run when they are called."""
    for call in CALL.finditer(code):
        if call.group()[:-1] in NO_CALLS:
            continue
        given = [one for one in arguments(code, call.end() - 1) if ";" not in one]
        if sum(bool(MAKES_NODE.search(one)) for one in given) > 1:
            yield code.count("\n", 0, call.start()) + 1, call.group() + ",".join(given)


class EvaluationOrder(unittest.TestCase):
    def test_finds_what_it_looks_for(self) -> None:
        bad = "x = op::add(\n  op::cast(y, DType::f32), g.weight_as_is(w));\n"
        self.assertEqual([line for line, _ in calls_in_question(code_of(bad))], [1])
        good = 'x = op::add(op::cast(y), z);  // op::add(op::a(), op::b())\nf("op::a()", op::c(y));\nV{op::a(x), op::b(x)};'
        self.assertEqual(list(calls_in_question(code_of(good))), [])

    def test_sources(self) -> None:
        files = [path for room in ROOMS for path in sorted((SOURCES / room).rglob("*")) if path.suffix in (".cpp", ".h")]
        self.assertGreater(len(files), 500)
        for path in files:
            for line, text in calls_in_question(code_of(path.read_text(encoding="utf-8"))):
                with self.subTest(place=f"{path.relative_to(SOURCES)}:{line}"):
                    self.fail(f"give the later argument a name first: {' '.join(text.split())}")


if __name__ == "__main__":
    unittest.main()
