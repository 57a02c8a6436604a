"""`onnxport onnxruntime quantize` against the quantizer of the onnxruntime package, called as Optimum's ORTQuantizer does.

    python3 test.py PROGRAM CACHE WORK      CACHE: filled by tools/setup.sh, WORK: a folder to write to

Integers, scales, zero points, nodes and names must be the same, and ONNX Runtime must compute the same from both files."""
import json
import logging
import os
import shutil
import subprocess
import sys
import unittest
from collections import Counter
from pathlib import Path

if len(sys.argv) != 4:
    sys.exit("usage: python3 test.py PROGRAM CACHE WORK")
PROGRAM, CACHE, WORK = (Path(argument).resolve() for argument in sys.argv[1:])
HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent))
from common import pinned, use_packages  # noqa: E402

use_packages(CACHE, pinned(HERE), "numpy-2.4.6")

import models  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime as ort  # noqa: E402
from onnx import numpy_helper  # noqa: E402
from onnxruntime.quantization import QuantizationMode, QuantType  # noqa: E402
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer  # noqa: E402
from onnxruntime.quantization.registry import IntegerOpsRegistry  # noqa: E402

logging.disable(logging.WARNING)
BRANCHES = {"If", "Loop", "Scan", "SequenceMap"}


def quantize_as_optimum(path, out, weights=QuantType.QInt8, per_channel=False, **options):
    """What optimum/onnxruntime/quantization.py of optimum-onnx 0.1.0 does for a dynamic configuration."""
    model = onnx.load(path)
    quantizer = ONNXQuantizer(
        model=model, static=False, per_channel=per_channel, mode=QuantizationMode.IntegerOps, weight_qType=weights,
        activation_qType=QuantType.QUInt8, tensors_range=None, reduce_range=options.get("reduce_range", False),
        nodes_to_quantize=options.get("nodes_to_quantize", []), nodes_to_exclude=options.get("nodes_to_exclude", []),
        op_types_to_quantize=options.get("operators_to_quantize") or list(IntegerOpsRegistry),
        extra_options={"WeightSymmetric": options.get("weights_symmetric", True), "ActivationSymmetric": False,
                       "EnableSubgraph": any(node.op_type in BRANCHES for node in model.graph.node),
                       "ForceSymmetric": False})
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(out), False)


def parts(graph, scope=""):
    """Initializers and nodes of a graph and those inside of it."""
    tensors = {scope + tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes = Counter()
    for node in graph.node:
        attributes = sorted((a.name, a.SerializeToString()) for a in node.attribute if not a.HasField("g"))
        nodes[scope, node.op_type, node.domain, node.name, tuple(node.input), tuple(node.output), repr(attributes)] += 1
        for a in node.attribute:
            if a.HasField("g"):
                inner = parts(a.g, f"{scope}{node.name}/{a.name}/")
                tensors |= inner[0]
                nodes += inner[1]
    return tensors, nodes


def feed_of(shapes):
    feed = {}
    for name, shape in shapes.items():
        random = np.random.default_rng([ord(c) for c in name])
        if name == "ids":
            feed[name] = random.integers(0, 30, shape)
        elif name == "mask":
            feed[name] = np.ones(shape, np.int32)
        elif name != "flag":
            feed[name] = random.standard_normal(shape).astype(np.float32)
    return feed


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Quantizers(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.work = WORK / self.id().rpartition(".")[2]
        shutil.rmtree(self.work, ignore_errors=True)
        self.given, self.out = self.work / "in" / "model.onnx", self.work / "out"
        self.given.parent.mkdir(parents=True)

    def quantize(self, *arguments):
        """With the program. Returns its result and its largest memory in bytes."""
        child = subprocess.Popen([PROGRAM, "onnxruntime", "quantize", "--onnx_model", self.given.parent, "-q", "-o", self.out,
                                  *arguments])
        status, usage = os.wait4(child.pid, 0)[1:]
        child.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(child.returncode, 0)
        return self.out / "model_quantized.onnx", usage.ru_maxrss * 1024

    def compare(self, model, shapes, arguments, form="raw", **options):
        """Quantizes with both."""
        models.save(model, self.given, form)
        ours, _ = self.quantize(*arguments)
        theirs = self.work / "theirs.onnx"
        quantize_as_optimum(self.given, theirs, **options)
        onnx.checker.check_model(str(ours))
        (tensors, nodes), (their_tensors, their_nodes) = (parts(onnx.load(path).graph) for path in (ours, theirs))
        self.assertEqual(sorted(tensors), sorted(their_tensors))
        for name, expected in their_tensors.items():
            self.assertEqual((tensors[name].dtype, tensors[name].shape), (expected.dtype, expected.shape), name)
            self.assertEqual(tensors[name].tobytes(), expected.tobytes(), name)
        self.assertEqual(nodes, their_nodes)
        self.run_both(ours, theirs, shapes)

    def run_both(self, ours, theirs, shapes):
        feed = feed_of(shapes)
        for flag in (True, False) if "flag" in shapes else (None,):
            if flag is not None:
                feed["flag"] = np.array([flag])
            for result, expected in zip(session(ours).run(None, self.fit(ours, feed)),
                                        session(theirs).run(None, self.fit(theirs, feed))):
                np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)

    @staticmethod
    def fit(path, feed):
        types = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
        inputs = {i.name: i.type for i in session(path).get_inputs()}
        return {name: value.astype(types.get(inputs[name], value.dtype)) for name, value in feed.items() if name in inputs}


    def test_config(self):
        model, shapes = models.matmul()
        config = {"is_static": False, "format": "QOperator", "mode": "IntegerOps", "weights_dtype": "QUInt8",
                  "weights_symmetric": False, "reduce_range": True, "per_channel": True, "operators_to_quantize": ["MatMul"],
                  "nodes_to_exclude": ["/a/MatMul"]}
        path = self.work / "ort_config.json"
        path.write_text(json.dumps({"quantization": config, "use_external_data_format": False, "opset": None}))
        self.compare(model, shapes, ["-c", path], weights=QuantType.QUInt8, weights_symmetric=False, reduce_range=True,
                     per_channel=True, operators_to_quantize=["MatMul"], nodes_to_exclude=["/a/MatMul"])

    # Where the package makes a file that computes something else, or none at all: against the original model.

    def near(self, model, shapes, *arguments):
        models.save(model, self.given, "raw")
        ours, _ = self.quantize(*arguments)
        feed = feed_of(shapes)
        for result, expected in zip(session(ours).run(None, self.fit(ours, feed)),
                                    session(self.given).run(None, self.fit(self.given, feed))):
            self.assertEqual(result.shape, expected.shape)
            error = np.abs(result - expected).max() / np.abs(expected).max()
            self.assertGreater(error, 0)
            self.assertLess(error, 0.03)

    def test_shared(self):
        self.near(*models.shared(), "--avx2")

    def test_batched_weights_per_channel(self):
        self.near(*models.batched(), "--avx2", "--per_channel")

    def test_after_contrib_operators(self):
        self.near(*models.after_contrib(), "--avx2")

    def test_memory_does_not_grow_with_weights(self):
        sizes = {}
        for rows in (256, 16384):  # 8 and 512 MB, made of holes
            model, _ = models.hollow(rows, 8192)
            self.given.write_bytes(model.SerializeToString())
            with open(self.given.parent / "weights", "wb") as data:
                data.truncate(4 * rows * 8192)
            ours, sizes[rows] = self.quantize("--avx2", "--per_channel")
            self.assertGreater(ours.stat().st_size, rows * 8192)
            shutil.rmtree(self.out)
        self.assertLess(sizes[16384], sizes[256] + 32e6)


PRESETS = {"arm64": {}, "avx2": {"weights": QuantType.QUInt8}, "avx512_vnni": {}, "avx512": {}, "ppc64le": {}}


def add(name, preset, per_channel, form):
    def test(self):
        model, shapes = models.MODELS[name]()
        arguments = ["--" + preset] + (["--per_channel"] if per_channel else [])
        self.compare(model, shapes, arguments, form, per_channel=per_channel, **PRESETS[preset])

    setattr(Quantizers, f"test_{name}_{preset}{'_per_channel' if per_channel else ''}_{form}", test)


for name in models.MODELS:
    for preset in ("arm64", "avx2"):
        for per_channel in (False, True):
            add(name, preset, per_channel, "raw")
for name in ("matmul", "gemm"):
    for form in ("fields", "external"):
        add(name, "avx512_vnni", False, form)
    for preset in ("avx512", "ppc64le"):
        add(name, preset, False, "raw")

if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
