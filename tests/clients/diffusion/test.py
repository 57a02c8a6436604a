"""Exported pipelines in examples/diffusion, which uses ONNX Runtime and NumPy alone.

    python3 test.py PROGRAM CACHE WORK      CACHE: what tools/setup.sh filled, WORK: a folder to write to
"""
import subprocess
import sys
import unittest
from pathlib import Path

if len(sys.argv) != 4:
    sys.exit("usage: python3 test.py PROGRAM CACHE WORK")
PROGRAM, CACHE, WORK = (Path(argument).resolve() for argument in sys.argv[1:4])
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import ROOT, use_packages  # noqa: E402

use_packages(CACHE, "onnxruntime-py-1.31.1", "numpy-2.4.6")
sys.path.insert(0, str(ROOT / "examples" / "diffusion"))

import numpy as np  # noqa: E402
import text_to_image  # noqa: E402
from golden import write_pipeline  # noqa: E402

SIZE = 32


def export(variant, *flags):
    """The pipeline of a fixture, as ONNX files."""
    fixture = ROOT / "tests" / "golden" / "diffusers" / f"text-to-image+{variant}"
    checkpoint, out = WORK / variant / "checkpoint", WORK / variant / "_".join(["out", *flags]).replace("-", "")
    write_pipeline(fixture, checkpoint)
    subprocess.run([PROGRAM, "export", "onnx", "--quiet", "--no-validate", "-m", checkpoint, out, *flags], check=True)
    return out


def image(folder, prompt="a b", seed=0, steps=5):
    return text_to_image.make_image(folder, prompt, steps, guidance=3.0, seed=seed, size=SIZE)


class Images(unittest.TestCase):
    def test_depend_on_text_and_noise(self):
        for variant in ("sd", "sd2", "sdxl"):
            with self.subTest(variant):
                folder = export(variant)
                first = image(folder)
                self.assertEqual(first.shape, (SIZE, SIZE, 3))
                self.assertGreater(first.std(), 1)
                self.assertTrue((image(folder) == first).all())
                self.assertFalse((image(folder, seed=1) == first).all())
                self.assertFalse((image(folder, "c d e") == first).all())

    def test_half_precision_is_close(self):
        for variant in ("sd", "sdxl"):
            with self.subTest(variant):
                exact = image(export(variant), steps=2).astype(np.float32)
                half = image(export(variant, "--dtype", "fp16"), steps=2).astype(np.float32)
                self.assertLess(np.abs(half - exact).mean(), 2)  # of 255

    def test_png(self):
        pixels = image(export("sd"))
        text_to_image.write_png(WORK / "image.png", pixels)
        self.assertTrue((WORK / "image.png").read_bytes().startswith(b"\x89PNG"))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
