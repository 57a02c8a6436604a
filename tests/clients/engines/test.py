"""Exported files in engines that accept less than the newest ONNX Runtime: OpenVINO, and an old ONNX Runtime.

    python3 test.py ENGINE PROGRAM CACHE WORK      ENGINE: onnxruntime or openvino; CACHE: what tools/setup.sh filled,
                                                   WORK: a folder to write to

The fixtures of tests/golden hold what the original models answer. Each of these is a kind of file: ops that only it has.
"""
import json
import subprocess
import sys
import unittest
from pathlib import Path

if len(sys.argv) != 5:
    sys.exit("usage: python3 test.py ENGINE PROGRAM CACHE WORK")
ENGINE, (PROGRAM, CACHE, WORK) = sys.argv[1], (Path(argument).resolve() for argument in sys.argv[2:5])
PACKAGES = {"onnxruntime": ("onnxruntime-py-1.17.3", "numpy-1.26.4"), "openvino": ("openvino-2026.4.1", "numpy-2.4.6")}
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import ROOT, use_packages  # noqa: E402

use_packages(CACHE, *PACKAGES[ENGINE])

import numpy as np  # noqa: E402
from golden import read_safetensors, write_checkpoint  # noqa: E402

FIXTURES = (
    "bert/token-classification",
    "clip/zero-shot-image-classification",  # the place of the end token
    "clip/zero-shot-image-classification+legacyeos",
    "deberta-v2/fill-mask",
    "gemma2/text-generation-with-past",
    "gpt2/text-classification",  # the last token that is no padding
    "gpt2/text-generation-with-past",
    "llama/text-generation-with-past",
    "mixtral/text-generation-with-past",  # experts in a Scan
    "modernbert/fill-mask",  # norms without bias
    "segformer/semantic-segmentation",
    "sentence-transformers/feature-extraction+lasttoken",
    "speech_to_text/automatic-speech-recognition-with-past",
    "swin/image-classification",
    "t5/text2text-generation-with-past",
    "wav2vec2/automatic-speech-recognition",
    "whisper/automatic-speech-recognition-with-past",
)
# OpenVINO 2026.4 takes values from outside of a Scan's body for further states, and refuses the file.
REFUSED = {"openvino": ("mixtral/text-generation-with-past",), "onnxruntime": ()}

class OnnxRuntime:
    def __init__(self, path):
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = {value.name: value.shape for value in self.session.get_inputs()}

    def run(self, names, feed):
        return dict(zip(names, self.session.run(names, feed)))


class OpenVino:
    def __init__(self, path):
        import openvino

        settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        self.model = openvino.Core().compile_model(str(path), "CPU", settings)
        self.inputs = {value.get_any_name(): [axis.get_length() if axis.is_static else None for axis in value.partial_shape]
                       for value in self.model.inputs}

    def run(self, names, feed):
        results = self.model(feed)
        return {name: results[name] for name in names}


ENGINES = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}


def feed_of(engine, recorded, with_past):
    """The inputs of a case. A merged decoder takes a switch too, and an empty past where it has none."""
    given = {name[3:]: value for name, value in recorded.items() if name.startswith("in/")}
    feed = {name: value for name, value in given.items() if name in engine.inputs}
    rows = next(iter(given.values())).shape[0]
    for name, shape in engine.inputs.items():
        if name == "use_cache_branch":
            feed[name] = np.array([with_past])
        elif name not in feed:
            feed[name] = np.zeros((rows, shape[1], 0, shape[3]), np.float32)
    return feed


class Fixtures(unittest.TestCase):
    def compare(self, engine, fixture, stem, expected, with_past=False):
        for case in expected["files"][stem]["cases"]:
            recorded = read_safetensors(fixture / f"{stem}.{case['n']}.safetensors")
            references = {name[4:]: value for name, value in recorded.items() if name.startswith("out/")}
            results = engine.run(list(references), feed_of(engine, recorded, with_past))
            for name, reference in references.items():
                with self.subTest(fixture=fixture.name, stem=stem, case=case["n"], output=name):
                    self.assertEqual(results[name].shape, reference.shape)
                    hidden = np.abs(reference) >= 1e6
                    largest = np.abs(reference[~hidden]).max(initial=1)
                    # Another engine adds in another order.
                    np.testing.assert_allclose(results[name][~hidden], reference[~hidden], rtol=0,
                                               atol=2 * case.get("atol", expected["atol"]) * largest)


def add(name):
    def test(self):
        fixture, work = ROOT / "tests" / "golden" / name, WORK / name.replace("/", "_")
        expected = json.loads((fixture / "expected.json").read_text())
        write_checkpoint(fixture, work / "checkpoint")
        out = work / "out"
        subprocess.run([PROGRAM, "export", "onnx", "-m", work / "checkpoint", "--task", expected["task"], "--library-name",
                        expected["library"], "--no-validate", "-q", out], check=True)
        for stem in expected["files"]:
            self.compare(ENGINES[ENGINE](out / f"{stem}.onnx"), fixture, stem, expected)
        merged = out / "decoder_model_merged.onnx"
        if merged.exists():
            engine = ENGINES[ENGINE](merged)
            self.compare(engine, fixture, "decoder_model", expected)
            self.compare(engine, fixture, "decoder_with_past_model", expected, with_past=True)

    setattr(Fixtures, f"test_{name}", test)


for name in FIXTURES:
    if name not in REFUSED[ENGINE]:
        add(name)
unittest.main(argv=sys.argv[:1])
