"""Shared by the tests of this folder: sounds, checkpoints, exports, and the client."""
import json
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

if len(sys.argv) != 4:
    sys.exit("usage: python3 test.py PROGRAM CACHE WORK")
PROGRAM, CACHE, WORK = (Path(argument).resolve() for argument in sys.argv[1:])
HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent))
from common import ROOT, pinned, use_packages, write_safetensors  # noqa: E402

use_packages(CACHE, pinned(HERE), "numpy-2.4.6", "onnxruntime-py-1.31.1")

import golden  # noqa: E402
import kaldi_native_fbank as knf  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
import sherpa_onnx  # noqa: E402

RATE = 16000
SPEECH = "automatic-speech-recognition"


def sound(seconds, seed=0):
    """Tones that come and go, and noise."""
    generator, time = np.random.default_rng(seed), np.arange(int(seconds * RATE)) / RATE
    waves = sum(np.sin(2 * np.pi * f * time * (1 + 0.3 * time)) * (np.sin(2 * np.pi * time * (3 + i)) > 0)
                for i, f in enumerate((220, 740, 1900, 3400)))
    return (0.2 * waves + 0.02 * generator.standard_normal(time.size)).astype(np.float32)


def checkpoint(fixture, name, edit=lambda config, tensors: None):
    folder = WORK / name / "checkpoint"
    golden.write_checkpoint(ROOT / "tests" / "golden" / fixture, folder)
    config = json.loads((folder / "config.json").read_text())
    tensors = {key: values.copy() for key, values in golden.read_safetensors(folder / "model.safetensors").items()}
    edit(config, tensors)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def vocabulary(folder, symbols, added=()):
    """A tokenizer.json with the entries that the client's table needs."""
    vocab = {symbol: i for i, symbol in enumerate(symbols)}
    (folder / "tokenizer.json").write_text(json.dumps({
        "model": {"type": "BPE", "vocab": vocab},
        "added_tokens": [{"id": len(symbols) + i, "content": token} for i, token in enumerate(added)]}))


def export(folder, task, name, *flags):
    out = folder.parent / name
    shutil.rmtree(out, ignore_errors=True)
    done = subprocess.run([PROGRAM, "export", "onnx", "-m", folder, "--task", task, *flags, out], capture_output=True,
                          text=True)
    if done.returncode:
        raise AssertionError(f"export of {folder} failed with {done.returncode}:\n{done.stderr}")
    return out


def plain(folder, task):
    """Sessions with the files of the default layout."""
    out = export(folder, task, "plain", "--no-validate")
    return {path.stem: ort.InferenceSession(path) for path in out.glob("*.onnx")}


def level(folder, bias, scores):
    """No token is the best one everywhere."""
    tensors = golden.read_safetensors(folder / "model.safetensors")
    write_safetensors(folder / "model.safetensors", tensors | {bias: tensors[bias] - scores.mean(0).astype(np.float32)})


def run(session, inputs):
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs)))


def hear(recognizer, *sounds):
    streams = []
    for samples in sounds:
        streams.append(recognizer.create_stream())
        streams[-1].accept_waveform(RATE, samples)
    recognizer.decode_streams(streams)
    return [stream.result for stream in streams]


def frames_of(bank):
    return np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])


class Client(unittest.TestCase):
    def varied(self, tokens, count=5):
        self.assertGreater(len(set(tokens)), count, "so few different tokens would not show a wrong result")
