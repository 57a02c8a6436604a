"""The Python code of the documents runs, and the classes have the signatures that Optimum's reference documents."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import SOURCES
from onnxport.exporters import onnx
from onnxport.exporters.onnx import ConfigBehavior, config
from small import BERT, bert_weights, write_checkpoint

STANDINS = Path(__file__).resolve().parent / "standins"

# Runs the examples of a document, but for those of packages that are not installed.
RUN = """
import doctest, sys
path, *missing = sys.argv[1:]
text = open(path, encoding="utf-8").read()
test = doctest.DocTestParser().get_doctest(text, {}, path, path, 0)
test.examples = [one for one in test.examples if not any(name in one.source for name in missing)]
result = doctest.DocTestRunner(verbose=False).run(test)
print(result.attempted)
sys.exit(result.failed)
"""


def run_document(name: str, folder: Path, *missing: str) -> int:
    """Runs it in a process of its own, in a folder with a small bert-base-uncased, and returns the number of examples."""
    if find_spec("transformers") and find_spec("torch"):
        import transformers

        small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        model = transformers.BertModel(transformers.BertConfig(**small, vocab_size=100))
        model.save_pretrained(folder / "bert-base-uncased")
        places = []
    else:
        write_checkpoint(folder / "bert-base-uncased", BERT, bert_weights(BERT))
        places = [str(STANDINS)]
    places = [str(Path(place).resolve()) for place in sys.path if place] + places
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, str(SOURCES / "docs" / name), *missing],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return int(done.stdout.split()[-1])


def test_python(tmp_path: Path) -> None:
    assert run_document("python.md", tmp_path) > 3


def test_architecture(tmp_path: Path) -> None:
    missing = () if find_spec("onnx") else ("import onnx\n", "onnx.load", "onnx.checker")
    assert run_document("python-architecture.md", tmp_path, *missing) >= 32 - len(missing)
    assert (tmp_path / "model.onnx").exists()


def test_architecture_with_the_checker(transformers: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    assert run_document("python-architecture.md", tmp_path) >= 32


BASE = {
    "task": "feature-extraction",
    "preprocessors": None,
    "int_dtype": "int64",
    "float_dtype": "fp32",
    "legacy": False,
}
PAST = {"task": "feature-extraction", "int_dtype": "int64", "float_dtype": "fp32", "use_past": False,
        "use_past_in_inputs": False, "preprocessors": None, "legacy": False}  # fmt: skip
SEQ2SEQ = {"task": "feature-extraction", "int_dtype": "int64", "float_dtype": "fp32", "use_past": False,
           "use_past_in_inputs": False, "behavior": ConfigBehavior.MONOLITH, "preprocessors": None,
           "legacy": False}  # fmt: skip


@pytest.mark.parametrize(
    ("config_class", "parameters"),
    [
        (onnx.OnnxConfig, BASE),
        (onnx.OnnxConfigWithPast, PAST),
        (onnx.OnnxSeq2SeqConfigWithPast, SEQ2SEQ),
        (onnx.TextEncoderOnnxConfig, BASE),
        (onnx.TextDecoderOnnxConfig, PAST),
        (onnx.TextSeq2SeqOnnxConfig, SEQ2SEQ),
        (config.VisionOnnxConfig, BASE),
        (config.TextAndVisionOnnxConfig, BASE),
    ],
)
def test_signatures(config_class: type, parameters: dict[str, Any]) -> None:
    """In the order of the reference, because scripts give arguments by position."""
    given = inspect.signature(config_class).parameters
    positional = {
        name: one.default
        for name, one in given.items()
        if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    }
    assert list(positional) == ["config", *parameters]
    assert {name: positional[name] for name in parameters} == parameters


def test_signatures_of_methods() -> None:
    def parameters(function: Any) -> dict[str, Any]:
        return {
            name: one.default
            for name, one in inspect.signature(function).parameters.items()
            if name != "self"
        }

    empty = inspect.Parameter.empty
    assert parameters(onnx.OnnxConfig.generate_dummy_inputs)["framework"] == "pt"
    assert parameters(onnx.OnnxConfigWithPast.add_past_key_values) == {
        "inputs_or_outputs": empty,
        "direction": empty,
    }
    assert parameters(onnx.OnnxSeq2SeqConfigWithPast.with_behavior) == {
        "behavior": empty,
        "use_past": False,
        "use_past_in_inputs": False,
    }
    for name in (
        "NORMALIZED_CONFIG_CLASS", "DUMMY_INPUT_GENERATOR_CLASSES", "ATOL_FOR_VALIDATION", "DEFAULT_ONNX_OPSET",
        "MIN_TORCH_VERSION", "MIN_TRANSFORMERS_VERSION", "PATCHING_SPECS", "inputs", "outputs",
    ):  # fmt: skip
        assert hasattr(onnx.OnnxConfig, name), name


def test_sizes_of_dummy_inputs() -> None:
    """The documented sizes and their defaults."""
    bert = onnx.BertOnnxConfig(BERT, task="multiple-choice")
    assert bert.generate_dummy_inputs("np")["input_ids"].shape == (2, 4, 16)
    sizes = {"batch_size": 3, "num_choices": 5, "sequence_length": 7}
    assert bert.generate_dummy_inputs("np", **sizes)["input_ids"].shape == (3, 5, 7)
    resnet = onnx.ResNetOnnxConfig({"model_type": "resnet"}, task="image-classification")
    assert resnet.generate_dummy_inputs("np")["pixel_values"].shape == (2, 3, 64, 64)
    sizes = {"image_width": 32, "image_height": 48}
    assert resnet.generate_dummy_inputs("np", **sizes)["pixel_values"].shape == (2, 3, 48, 32)
    whisper = onnx.WhisperOnnxConfig({"model_type": "whisper"}, task="automatic-speech-recognition")
    assert whisper.with_behavior("encoder").generate_dummy_inputs("np", feature_size=80, nb_max_frames=3000)[
        "input_features"
    ].shape == (2, 80, 3000)
    wave = onnx.Wav2Vec2OnnxConfig({"model_type": "wav2vec2"}, task="audio-classification")
    assert wave.generate_dummy_inputs("np")["input_values"].shape == (2, 16000)
    assert wave.generate_dummy_inputs("np", audio_sequence_length=8000)["input_values"].shape == (2, 8000)
