"""Checkpoints, exports, and generation: by a plain loop around ONNX Runtime, and by the client. See test.py."""
import json
import os
import subprocess
import sys
from pathlib import Path

if len(sys.argv) != 4:
    sys.exit("usage: python3 test.py PROGRAM CACHE WORK")
PROGRAM, CACHE, WORK = (Path(argument).resolve() for argument in sys.argv[1:])
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import ROOT, use_packages  # noqa: E402

use_packages(CACHE, "onnxruntime-genai-0.18.0", "onnxruntime-py-1.31.1", "numpy-2.4.6")
os.environ["OMP_NUM_THREADS"] = "1"

import golden  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
import onnxruntime_genai as og  # noqa: E402
from make_generation import for_generation  # noqa: E402

og.disable_telemetry_events()

END = 2  # and this one ends a sequence
NEW_TOKENS = 16
MARGIN = 1e-4  # between the best token and the second best: a smaller one could go either way


def write_checkpoint(name, folder, edit=lambda config, tensors: None):
    """The checkpoint of a fixture. Its values are those of tests/golden/README.md, but a table of tokens that is the head
    as well has smaller ones: it would repeat the last token, whatever the cache holds."""
    fixture = ROOT / "tests" / "golden" / name
    config = json.loads((fixture / "config.json").read_text())

    def change(tensors):
        for_generation(tensors)
        edit(config, tensors)

    golden.write_checkpoint(fixture, folder, change)
    (folder / "config.json").write_text(json.dumps(config))


def export(checkpoint, task, out, *flags):
    subprocess.run([PROGRAM, "export", "onnx", "-m", checkpoint, "--task", task, "-q", *flags, out], check=True)


def open_session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def best(scores):
    """The most likely token of each row that does not end it, and the smallest distance to a second."""
    scores = scores.astype(np.float32)
    scores[:, END] = -np.inf
    ordered = np.sort(scores, axis=-1)
    return scores.argmax(-1), float((ordered[:, -1] - ordered[:, -2]).min())


class Loop:
    """A decoder, called with its cache. Rows are of one length, or padded on the right, as the client pads."""

    def __init__(self, path):
        self.session = open_session(path)
        self.inputs = {value.name: value for value in self.session.get_inputs()}
        self.outputs = [value.name for value in self.session.get_outputs()]

    def empty(self, name, rows):
        value = self.inputs[name]
        shape = [rows] + [extent if isinstance(extent, int) else 0 for extent in value.shape[1:]]
        return np.zeros(shape, np.float16 if "16" in value.type else np.float32)

    def generate(self, rows, pad=None):
        rows = np.array(rows)
        lengths = np.array([int(np.flatnonzero(row != pad)[-1]) + 1 for row in rows])
        mask = (np.arange(rows.shape[1]) < lengths[:, None]).astype(np.int64)
        positions = np.arange(rows.shape[1]) * mask
        cache = {name: self.empty(name, len(rows)) for name in self.inputs if name.startswith("past_")}
        tokens, last, margin = rows, lengths - 1, np.inf
        for step in range(NEW_TOKENS):
            feed = cache | {"input_ids": tokens, "attention_mask": mask, "position_ids": positions}
            feed = {name: value for name, value in feed.items() if name in self.inputs}
            results = dict(zip(self.outputs, self.session.run(self.outputs, feed)))
            chosen, near = best(results["logits"][np.arange(len(rows)), last])
            margin = min(margin, near)
            tokens, last = chosen[:, None], np.zeros(len(rows), np.int64)
            rows = np.concatenate([rows, tokens], 1)
            mask = np.concatenate([mask, np.ones_like(tokens)], 1)
            positions = lengths[:, None] + step
            cache = {name: results[name.replace("past_key_values", "present").replace("past_", "present_")] for name in cache}
        return rows, margin


def run_client(model, rows, features=None):
    parameters = og.GeneratorParams(model)
    length = len(rows[0]) + NEW_TOKENS
    # No row ends early.
    parameters.set_search_options(max_length=length, min_length=length, batch_size=len(rows), do_sample=False)
    generator = og.Generator(model, parameters)
    if features is not None:
        generator.set_model_input("input_features", features)
    generator.append_tokens(np.array(rows, np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    return np.array([generator.get_sequence(row) for row in range(len(rows))])
