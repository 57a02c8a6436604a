#!/usr/bin/env python3
"""Prints the GoogleTest filter for a change: the unit tests, and the fixtures of the types that it touches.

    tools/changed_tests.py build/onnxport_tests [COMMIT]

The change is everything since COMMIT, uncommitted files too. Without COMMIT it is where the branch left main. The
selection and its reasons go to standard error. `./dev test --changed` runs the selection.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = "src/models/"
# No fixture sees these: unit tests cover them, or nothing is compiled from them.
APART = ("src/cli/", "src/hub/", "src/exporter/proof_table.inc", "docs/", "bench/", "examples/", "fuzz/", "tools/", ".ci/", "tests/")
SHARED_TESTS = ("tests/golden_", "tests/half_precision_test.cpp", "tests/hostile_config_test.cpp")


class Models:
    """The files of src/models: the types that each registers, and their dependencies."""

    def __init__(self, texts):
        self.types, self.users, self.aliases = {}, {}, {}
        for path, text in texts.items():
            module = path.rsplit(".", 1)[0]
            types = self.types.setdefault(module, set())
            types.update(re.findall(r'model_type = "([^"]+)"', text))
            if re.search(r"void register_\w+\(", text):
                types.add(pathlib.PurePath(module).name)
                if module.startswith(MODELS + "timm/"):  # a library: its fixtures are in one folder
                    types.add("timm")
                if module.startswith(MODELS + "diffusion/"):
                    types.add("diffusers")
            for alias, original in re.findall(r'register_alias\("([^"]+)", "([^"]+)"', text):
                types.add(alias)
                self.aliases.setdefault(plain(original), set()).add(alias)
            for header in re.findall(r'#include "(models/[^"]+)\.h"', text):
                header = "src/" + header
                self.users.setdefault(header, set()).add(module)
                if implements(text, texts.get(header + ".h", "")):
                    self.users.setdefault(module, set()).add(header)

    def modules_using(self, module):
        """The module and all that include it, over any number of steps."""
        found, waiting = set(), [module]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += self.users.get(one, ())
        return found

    def types_of(self, path):
        """The types that a file is a part of. None: of all, as far as one can see."""
        module = path.rsplit(".", 1)[0]
        modules = self.modules_using(module)
        folder, common, _ = path.partition("/common/")
        if common:
            modules |= {other for other in self.types if other.startswith(folder + "/")}
        types = set().union(*(self.types.get(one, {pathlib.PurePath(one).name}) for one in modules))
        if not types:
            return None
        waiting = list(types)
        while waiting:
            for alias in self.aliases.get(plain(waiting.pop()), ()):
                if alias not in types:
                    types.add(alias)
                    waiting.append(alias)
        return types


def implements(source, header):
    """Whether a source file defines a function of a header: those begin in the first column."""
    defined = re.findall(r"^[A-Za-z][^(=;]*?(\w+)\(", source, re.M)
    return any(re.search(rf"\b{name}\(", header) for name in defined)


def plain(name):
    """Types and files differ in their dashes: deberta-v2, deberta_v2.cpp."""
    return name.replace("-", "_")


def names_in_list(diff):
    """The types in changed lines of a models.def."""
    return set(re.findall(r"^[+-]\s*ONNXPORT_\w+\((\w+)\)", diff, re.M))


def touched(paths, models, diff_of):
    """For each changed path its types, None for all of them, and a reason."""
    for path in sorted(paths):
        if path.startswith("tests/golden/") and path.count("/") >= 3:
            yield path, {path.split("/")[2]}, "a fixture"
        elif path.startswith(MODELS) and path.endswith(".def"):
            yield path, names_in_list(diff_of(path)), "the changed lines"
        elif path.startswith(MODELS):
            yield path, models.types_of(path), "a definition, what includes it, and aliases"
        elif path.startswith(SHARED_TESTS):
            yield path, None, "the tests of all fixtures"
        elif path.startswith(APART) or "/" not in path and not path.startswith("CMake"):
            yield path, set(), "unit tests alone"
        else:
            yield path, None, "shared by all types"


def fixtures_of(types, fixtures):
    """Fixtures of these types, and of models that are made of them. `fixtures`: name -> types in its configurations."""
    wanted = {plain(one) for one in types}
    return {name for name, parts in fixtures.items() if wanted & ({plain(name.split("/")[0])} | parts)}


def read_fixtures(folder):
    """The fixtures, each with the model types that its configurations name."""
    fixtures = {}
    for expected in sorted(folder.glob("*/*/expected.json")):
        parts = set()
        for config in expected.parent.rglob("*config.json"):
            parts.update(plain(one) for one in re.findall(r'"model_type":\s*"([^"]*)"', config.read_text()))
        fixtures[f"{expected.parent.parent.name}/{expected.parent.name}"] = parts
    return fixtures


def listed_tests(text):
    """Suites and their tests, of --gtest_list_tests."""
    suites = {}
    for line in text.splitlines():
        if re.match(r"\S+\.$", line.split("#")[0].strip()) and not line.startswith(" "):
            tests = suites.setdefault(line.split("#")[0].strip(), [])
        elif line.startswith("  "):
            tests.append(line.split("#")[0].strip())
    return suites


def test_name(fixture):
    return re.sub(r"[^0-9A-Za-z]", "_", fixture)


def make_filter(suites, fixtures, selected):
    """Every suite that does not walk fixtures, and the selected fixtures of those that do."""
    names = {test_name(one) for one in fixtures}
    units = [suite + "*" for suite, tests in suites.items()
             if not all("/" in one and one.rsplit("/", 1)[1] in names for one in tests)]
    return ":".join(units + ["*/" + test_name(one) for one in sorted(selected)])


def git(*arguments):
    return subprocess.run(["git", "-C", ROOT, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def main(program, commit=None):
    base = git("rev-parse", commit).strip() if commit else git("merge-base", "HEAD", "main").strip()
    paths = set(git("diff", "--name-only", "--no-renames", "-z", base).split("\0"))
    paths |= set(git("ls-files", "--others", "--exclude-standard", "-z").split("\0"))
    models = Models({str(path.relative_to(ROOT)): path.read_text()
                     for path in (ROOT / MODELS).rglob("*") if path.suffix in (".cpp", ".h")})
    fixtures = read_fixtures(ROOT / "tests" / "golden")
    selected = set()
    print(f"changed since {base[:10]}:", file=sys.stderr)
    for path, types, reason in touched(paths - {""}, models, lambda path: git("diff", "-U0", base, "--", path)):
        found = set(fixtures) if types is None else fixtures_of(types, fixtures)
        selected |= found
        print(f"  {path}: {len(found)} fixtures ({reason})", file=sys.stderr)
    by_type = {}
    for name in selected:
        by_type.setdefault(name.split("/")[0], []).append(name)
    print(f"selected: unit tests and {len(selected)} of {len(fixtures)} fixtures", file=sys.stderr)
    if len(selected) < len(fixtures):
        for one, names in sorted(by_type.items()):
            print(f"  {one}: {len(names)}", file=sys.stderr)
    listed = subprocess.run([program, "--gtest_list_tests"], check=True, stdout=subprocess.PIPE, text=True).stdout
    print("*" if len(selected) == len(fixtures) else make_filter(listed_tests(listed), fixtures, selected))


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
