"""Exported files in engines that accept less than the newest ONNX Runtime: OpenVINO, and an old ONNX Runtime.

    python3 test.py ENGINE PROGRAM CACHE WORK      ENGINE: onnxruntime or openvino; CACHE: filled by tools/setup.sh,
                                                   WORK: a folder to write to

The fixtures of tests/golden hold what the original models answer. Each of these is a kind of file: ops that only it has.
"""
import sys
import unittest
from pathlib import Path

if len(sys.argv) != 5:
    sys.exit("usage: python3 test.py ENGINE PROGRAM CACHE WORK")
ENGINE, (PROGRAM, CACHE, WORK) = sys.argv[1], (Path(argument).resolve() for argument in sys.argv[2:5])
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from packages import use_engine  # noqa: E402

use_engine(CACHE, ENGINE)

from engines import ENGINES, check_fixture, compare  # noqa: E402

FIXTURES = (
    "bert/token-classification",
    "clip/zero-shot-image-classification",  # the place of the end token
    "clip/zero-shot-image-classification+legacyeos",
    "deberta-v2/fill-mask",
    "gemma2/text-generation-with-past",
    "gpt2/text-classification",  # the last token that is no padding
    "gpt2/text-generation-with-past",
    "llama/text-generation-with-past",
    "mamba2/text-generation-with-past",  # chunks of tokens in a Scan
    "mixtral/text-generation-with-past",  # experts in a Scan
    "modernbert/fill-mask",  # norms without bias
    "moonshine_streaming/automatic-speech-recognition-with-past",  # a quotient of a sum of integers
    "qwen3_moe/text-generation-with-past+many_experts",  # groups of experts in a Scan
    "segformer/semantic-segmentation",
    "sentence-transformers/feature-extraction+lasttoken",
    "speech_to_text/automatic-speech-recognition-with-past",
    "swin/image-classification",
    "t5/text2text-generation-with-past",
    "wav2vec2/automatic-speech-recognition",
    "whisper/automatic-speech-recognition-with-past",
)


class Fixtures(unittest.TestCase):
    pass


def add(name):
    def test(self):
        expected, out = check_fixture(self, ENGINES[ENGINE], name, PROGRAM, WORK)
        merged = out / "decoder_model_merged.onnx"
        if merged.exists():
            engine = ENGINES[ENGINE](merged)
            compare(self, engine, name, "decoder_model", expected)
            compare(self, engine, name, "decoder_with_past_model", expected, with_past=True)

    setattr(Fixtures, f"test_{name}", test)


for name in FIXTURES:
    add(name)
unittest.main(argv=sys.argv[:1])
