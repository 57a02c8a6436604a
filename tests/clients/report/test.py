"""The page of `onnxport report`, in headless Chromium and without network.

    python3 test.py PROGRAM CACHE WORK      CACHE: what tools/setup.sh filled, WORK: a folder to write to

Makes pages of small models, and one of a graph with 10,000 nodes. page.mjs opens them."""
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from common import ROOT, use_packages  # noqa: E402

PROGRAM, CACHE, WORK = (Path(name).resolve() for name in sys.argv[1:])
use_packages(CACHE, "numpy-2.4.6")
from golden import write_checkpoint  # noqa: E402

VARIANTS = ["--layout", "transformers.js", "--variants", "fp32,q4", "--block-size", "16"]
EXPORTS = {
    "decoder": ("qwen2/text-generation-with-past", VARIANTS),
    "speech": ("whisper/automatic-speech-recognition-with-past", []),
    "seeing": ("smolvlm/image-text-to-text-with-past", VARIANTS),
}
NODES = 10_000


def run(*arguments):
    subprocess.run([PROGRAM, *map(str, arguments)], check=True)


def varint(number):
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(data + bytes([number]))


def field(number, value):
    """A field of a protobuf message: a number, a text or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def value_info(name):
    shape = field(1, field(1, 4))  # dim { dim_value: 4 }
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))  # float32[4]


def write_long_model(path):
    """y = x, through many nodes in 20 layers of 10 modules."""
    nodes = b""
    for i in range(NODES):
        name = f"model.layers.{i // 500}.block{i // 50 % 10}/Relu_{i}"
        nodes += field(1, field(1, f"v{i}" if i else "x") + field(2, "y" if i == NODES - 1 else f"v{i + 1}")
                       + field(3, name) + field(4, "Relu"))
    graph = nodes + field(2, "main") + field(11, value_info("x")) + field(12, value_info("y"))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 18)))


shutil.rmtree(WORK, ignore_errors=True)
WORK.mkdir(parents=True)
for name, (fixture, flags) in EXPORTS.items():
    checkpoint = WORK / name / "checkpoint"
    write_checkpoint(ROOT / "tests/golden" / fixture, checkpoint)
    run("export", "onnx", "--quiet", "--model", checkpoint, "--task", fixture.split("/")[1], *flags,
        "--report", WORK / f"{name}.html", WORK / name / "out")
run("report", "--quiet", WORK / "decoder/out", "--output", WORK / "plain.html")
# As in a pipeline: folders with files of the same names.
for folder in ("one", "other"):
    run("export", "onnx", "--quiet", "--no-validate", "--external-data", "always",
        "--model", WORK / "decoder/checkpoint", "--task", "text-generation", WORK / "pipeline" / folder)
run("report", "--quiet", WORK / "pipeline", "--output", WORK / "pipeline.html")
run("bench", "--quiet", WORK / "decoder/out", "--runs", "5", "--report", WORK / "bench.html")
write_long_model(WORK / "long.onnx")
run("report", "--quiet", WORK / "long.onnx", "--output", WORK / "long.html")
subprocess.run(["node", "--test-reporter=spec", HERE / "page.mjs", CACHE, WORK], check=True)
