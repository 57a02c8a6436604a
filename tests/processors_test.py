"""The program that was built for another processor writes the same bytes as the one of this machine, and its exports pass
its own validation.

    processors_test.py CACHE WORK PROGRAM OTHER... [--every N]

OTHER is the other program, after its emulator: tools/qemu_aarch64.sh build-aarch64/onnxport. --every N also exports each
Nth fixture of tests/golden with both.
"""
import json
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "clients"))
EVERY = int(sys.argv.pop()) if sys.argv[-2] == "--every" and sys.argv.pop(-2) else 0
CACHE, WORK, PROGRAM, *OTHER = map(str, sys.argv[1:])
del sys.argv[1:]

import common  # noqa: E402

common.use_packages(Path(CACHE), "numpy-2.4.6")
import golden  # noqa: E402

# Where values are computed on the way to a file: rounding, scales, tables of angles, positions, folded norms, sine waves.
FIXTURES = {
    "bert/feature-extraction": [
        [], ["--dtype", "fp16"], ["--dtype", "bf16"], ["--target", "ort"], ["--optimize", "O4"],
        ["--quantize", "q8"], ["--quantize", "uint8", "--per-tensor"], ["--quantize", "q4"], ["--quantize", "q4f16"],
        ["--quantize", "q4", "--quantize-algorithm", "k_quant", "--zero-points"], ["--quantize", "bnb4"],
        ["--quantize", "q2"],
    ],
    "bert/feature-extraction+bf16": [[], ["--dtype", "fp16"]],
    "bert/feature-extraction+f16": [["--dtype", "bf16"]],
    "llama/text-generation-with-past+v5_yarn": [[], ["--target", "ort", "--dtype", "fp16"]],
    "phi3/text-generation-with-past+longrope": [[]],
    "gpt_oss/text-generation-with-past": [[]],
    "mamba/text-generation-with-past": [[]],
    "resnet/image-classification": [[], ["--dtype", "fp16"]],
    "wav2vec2/automatic-speech-recognition+weightnorm-old": [[]],
    "whisper/automatic-speech-recognition-with-past": [["--variants", "fp32,fp16,q8,q4"]],
    "swinv2/image-classification": [[]],
}
"""Fixtures, and the flags with which to export them."""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if done.returncode:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr}")
    return done.stdout


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Processors(unittest.TestCase):
    def same_files(self, fixture: str, flags: list[str], *, validate: bool) -> None:
        """Both programs write the same files. The other one also compares its export with the model."""
        work = Path(WORK) / fixture.replace("/", "_")
        golden.write_checkpoint(ROOT / "tests/golden" / fixture, work / "checkpoint")
        task = json.loads((ROOT / "tests/golden" / fixture / "expected.json").read_text())["task"]
        command = ["export", "onnx", "--model", str(work / "checkpoint"), "--task", task, "--json", *flags]
        written = []
        for name, program in (("here", [PROGRAM]), ("other", OTHER)):
            shutil.rmtree(work / name, ignore_errors=True)
            checked = validate and name == "other"
            report = json.loads(run(*program, *command, *([] if checked else ["--no-validate"]), str(work / name)))
            if checked:
                self.assertTrue(report["validation"])
            written.append(files(work / name))
        here, other = written
        self.assertTrue(any(name.endswith(".onnx") for name in here))
        self.assertEqual(sorted(here), sorted(other))
        self.assertEqual([name for name in here if here[name] != other[name]], [])
        shutil.rmtree(work)

    def test_names_its_processor(self) -> None:
        here, other = (json.loads(run(*program, "--version", "--json")) for program in ([PROGRAM], OTHER))
        self.assertNotEqual(here["target"], other["target"])
        self.assertEqual(here["libraries"], other["libraries"])

    def test_same_bytes(self) -> None:
        for fixture, exports in FIXTURES.items():
            for flags in exports:
                with self.subTest(fixture=fixture, flags=flags):
                    self.same_files(fixture, flags, validate=True)

    @unittest.skipUnless(EVERY, "only with --every N")
    def test_same_bytes_of_many(self) -> None:
        every = sorted(path.parent for path in (ROOT / "tests/golden").rglob("expected.json"))
        for fixture in every[::EVERY or 1]:
            with self.subTest(fixture=fixture.name):
                self.same_files(str(fixture.relative_to(ROOT / "tests/golden")), [], validate=False)


if __name__ == "__main__":
    unittest.main()
