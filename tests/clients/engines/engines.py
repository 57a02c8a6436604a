"""OpenVINO and an old ONNX Runtime, behind one interface. Import it after use_engine()."""
import functools
import json
import subprocess

import numpy as np
from common import ROOT
from golden import read_safetensors, write_checkpoint

GOLDEN = ROOT / "tests" / "golden"


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


@functools.cache
def openvino_core():
    import openvino

    return openvino.Core()


class OpenVino:
    def __init__(self, path):
        settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        self.model = openvino_core().compile_model(str(path), "CPU", settings)
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


def check_fixture(test, engine, name, program, work):
    """Exports a fixture, and compares its files. Returns its expected.json and the folder of the files."""
    expected, work = json.loads((GOLDEN / name / "expected.json").read_text()), work / name.replace("/", "_")
    write_checkpoint(GOLDEN / name, work / "checkpoint")
    out = work / "out"
    subprocess.run([program, "export", "onnx", "-m", work / "checkpoint", "--task", expected["task"], "--library-name",
                    expected["library"], "--no-validate", "-q", out], check=True)
    for stem in expected["files"]:
        compare(test, engine(out / f"{stem}.onnx"), name, stem, expected)
    return expected, out


def compare(test, engine, fixture, stem, expected, with_past=False):
    for case in expected["files"][stem]["cases"]:
        recorded = read_safetensors(GOLDEN / fixture / f"{stem}.{case['n']}.safetensors")
        references = {name[4:]: value for name, value in recorded.items() if name.startswith("out/")}
        results = engine.run(list(references), feed_of(engine, recorded, with_past))
        for name, reference in references.items():
            with test.subTest(fixture=fixture, stem=stem, case=case["n"], output=name):
                test.assertEqual(results[name].shape, reference.shape)
                hidden = ~np.isfinite(reference) | (np.abs(reference) >= 1e6)
                largest = np.abs(reference[~hidden]).max(initial=1)
                # Another engine adds in another order.
                np.testing.assert_allclose(results[name][~hidden], reference[~hidden], rtol=0,
                                           atol=2 * case.get("atol", expected["atol"]) * largest)
