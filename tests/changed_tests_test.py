#!/usr/bin/env python3
"""Which fixtures a change selects: tools/changed_tests.py on a small made-up tree."""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tools"))
import changed_tests  # noqa: E402

MODELS = changed_tests.Models({
    "src/models/text/bert.cpp": '#include "models/text/embeddings.h"\nValue embed(int a) {\n}\n.model_type = "bert"',
    "src/models/text/embeddings.h": "Value embed(int a);",
    "src/models/text/deberta_v2.cpp": '#include "models/text/common/heads.h"\n.model_type = "deberta-v2"',
    "src/models/text/electra.cpp": '#include "models/text/embeddings.h"\n  embed(1);\n.model_type = "electra"',
    "src/models/text/names.cpp": 'tasks.register_alias("camembert", "bert"); tasks.register_alias("flau-bert", "camembert");',
    "src/models/text/common/heads.h": "",
    "src/models/text/helper.cpp": '#include "models/text/embeddings.h"',
    "src/models/vision/vit.cpp": '.model_type = "vit"',
})
FIXTURES = {
    "bert/fill-mask": {"bert"},
    "bert/fill-mask+a": {"bert"},
    "camembert/fill-mask": {"camembert"},
    "deberta-v2/fill-mask": {"deberta_v2"},
    "electra/fill-mask": {"electra"},
    "vision-encoder-decoder/image-to-text": {"vision_encoder_decoder", "vit"},
    "vit/image-classification": {"vit"},
}


def selected(path, diff=""):
    (_, types, reason), = changed_tests.touched([path], MODELS, lambda _: diff)
    assert reason
    return set(FIXTURES) if types is None else changed_tests.fixtures_of(types, FIXTURES)


class Selection(unittest.TestCase):
    def expect(self, path, names, diff=""):
        self.assertEqual(selected(path, diff), set(names), path)

    def test_a_fixture_selects_its_type(self):
        self.expect("tests/golden/bert/fill-mask+a/config.json", ["bert/fill-mask", "bert/fill-mask+a"])

    def test_a_definition_selects_its_types_and_models_made_of_them(self):
        self.expect("src/models/text/deberta_v2.cpp", ["deberta-v2/fill-mask"])
        self.expect("src/models/vision/vit.cpp", ["vit/image-classification", "vision-encoder-decoder/image-to-text"])

    def test_aliases_and_definitions_that_include_it_follow(self):
        self.expect("src/models/text/bert.cpp",
                    ["bert/fill-mask", "bert/fill-mask+a", "camembert/fill-mask", "electra/fill-mask"])
        self.expect("src/models/text/electra.cpp", ["electra/fill-mask"])
        self.expect("src/models/text/names.cpp", ["camembert/fill-mask"])

    def test_a_common_file_selects_its_kind(self):
        self.expect("src/models/text/common/heads.h", [name for name in FIXTURES if "vi" not in name])
        self.expect("src/models/common/definition.cpp", FIXTURES)

    def test_a_file_of_no_type_selects_all(self):
        self.expect("src/models/text/helper.cpp", FIXTURES)

    def test_a_list_selects_the_changed_lines(self):
        self.expect("src/models/text/models.def", ["deberta-v2/fill-mask"],
                    "@@ -1 +1 @@\n-ONNXPORT_MODEL(gone)\n+ONNXPORT_MODEL(deberta_v2)\n ONNXPORT_MODEL(bert)\n")

    def test_shared_rooms_select_all(self):
        for path in ("src/nn/attention.cpp", "include/onnxport/op.h", "src/config/class_defaults.inc", "CMakeLists.txt",
                     "cmake/targets.cmake", "tests/golden_test.cpp", "tests/golden_fixture.h"):
            self.expect(path, FIXTURES)

    def test_others_select_none(self):
        for path in ("README.md", "docs/cli.md", "tests/op_samples.cpp", "src/cli/main.cpp", "tests/golden/README.md"):
            self.expect(path, [])

    def test_a_file_that_is_gone_selects_its_type(self):
        self.expect("src/models/electra.cpp", ["electra/fill-mask"])


class Filter(unittest.TestCase):
    LISTED = ("Running main()\nScope.\n  Reads\nTypes/Wrong.  # a comment\n  Value/bert_fill_mask  # GetParam()\n"
              "Fixtures/Golden.\n  Runs/bert_fill_mask  # GetParam() = x\n  Runs/bert_fill_mask_a\n"
              "Table/Lowering.\n  Runs/relu\n")

    def test_suites_that_walk_fixtures_are_narrowed(self):
        suites = changed_tests.listed_tests(self.LISTED)
        self.assertEqual(list(suites), ["Scope.", "Types/Wrong.", "Fixtures/Golden.", "Table/Lowering."])
        self.assertEqual(changed_tests.make_filter(suites, FIXTURES, {"bert/fill-mask+a"}),
                         "Scope.*:Table/Lowering.*:*/bert_fill_mask_a")


class Repository(unittest.TestCase):
    def test_every_fixture_belongs_to_a_definition(self):
        root = changed_tests.ROOT
        models = changed_tests.Models({str(path.relative_to(root)): path.read_text()
                                       for path in (root / "src" / "models").rglob("*.cpp")})
        known = {changed_tests.plain(one) for types in models.types.values() for one in types}
        fixtures = changed_tests.read_fixtures(root / "tests" / "golden")
        self.assertGreater(len(fixtures), 800)
        self.assertEqual({name.split("/")[0] for name in fixtures
                          if changed_tests.plain(name.split("/")[0]) not in known}, set())


if __name__ == "__main__":
    unittest.main()
