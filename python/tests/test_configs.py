"""Configurations: names, axes, dummy inputs, attributes, and classes of scripts."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
from onnxport import ExportError
from onnxport.exporters.onnx import (
    BertOnnxConfig,
    ConfigBehavior,
    OnnxConfig,
    T5OnnxConfig,
    TextEncoderOnnxConfig,
    ViTOnnxConfig,
)
from onnxport.exporters.onnx.model_configs import LlamaOnnxConfig
from onnxport.utils import DummyInputGenerator, DummyTextInputGenerator, NormalizedTextConfig
from small import BERT

T5 = {
    "model_type": "t5",
    "num_layers": 1,
    "d_model": 16,
    "num_heads": 2,
    "d_kv": 8,
    "d_ff": 16,
    "vocab_size": 50,
}


def test_attributes() -> None:
    config = BertOnnxConfig(BERT)
    assert config.DEFAULT_ONNX_OPSET == 18
    assert config.ATOL_FOR_VALIDATION == 1e-5
    assert config.NORMALIZED_CONFIG_CLASS is NormalizedTextConfig
    assert (DummyTextInputGenerator,) == config.DUMMY_INPUT_GENERATOR_CLASSES
    assert config.PATCHING_SPECS is None


def test_axes() -> None:
    config = BertOnnxConfig(BERT, task="sequence-classification")
    assert list(config.inputs) == ["input_ids", "attention_mask", "token_type_ids"]
    assert config.inputs["input_ids"] == {0: "batch_size", 1: "sequence_length"}
    assert repr(config.outputs) == "OrderedDict([('logits', {0: 'batch_size'})])"


def test_dummy_inputs() -> None:
    config = BertOnnxConfig(BERT, task="multiple-choice")
    inputs = config.generate_dummy_inputs("np", batch_size=3, sequence_length=5)
    assert {name: array.shape for name, array in inputs.items()} == {
        "input_ids": (3, 4, 5), "attention_mask": (3, 4, 5), "token_type_ids": (3, 4, 5),
    }  # fmt: skip
    again = config.generate_dummy_inputs("np", batch_size=3, sequence_length=5)
    assert all(numpy.array_equal(inputs[name], again[name]) for name in inputs)
    with pytest.raises(ValueError, match="framework"):
        config.generate_dummy_inputs("tf")


def test_dummy_images() -> None:
    config = ViTOnnxConfig({"model_type": "vit", "image_size": 32}, task="image-classification")
    assert config.generate_dummy_inputs("np")["pixel_values"].shape == (2, 3, 32, 32)


def test_dtypes() -> None:
    config = LlamaOnnxConfig(
        {"model_type": "llama", "num_hidden_layers": 1},
        "text-generation-with-past",
        float_dtype="fp16",
        int_dtype="int32",
    )
    inputs = config.generate_dummy_inputs("np")
    assert inputs["input_ids"].dtype == numpy.int32
    assert inputs["past_key_values.0.key"].dtype == numpy.float16
    with pytest.raises(ExportError, match="float8") as raised:
        BertOnnxConfig(BERT, float_dtype="float8")
    assert raised.value.code == "invalid_argument"


def test_behavior() -> None:
    whole = T5OnnxConfig(T5, "text2text-generation", use_past=True, use_past_in_inputs=True)
    encoder = whole.with_behavior("encoder")
    assert encoder.behavior is ConfigBehavior.ENCODER
    assert list(encoder.outputs) == ["last_hidden_state"]
    decoder = whole.with_behavior(ConfigBehavior.DECODER, use_past=True, use_past_in_inputs=True)
    assert "past_key_values.0.encoder.value" in decoder.inputs


def test_past_key_values() -> None:
    config = LlamaOnnxConfig(
        {"model_type": "llama", "num_hidden_layers": 2},
        "text-generation",
        use_past=True,
        use_past_in_inputs=True,
    )
    names: dict[str, dict[int, str]] = {}
    config.add_past_key_values(names, "outputs")
    assert names["present.1.value"] == {0: "batch_size", 2: "past_sequence_length + sequence_length"}
    with pytest.raises(ValueError, match="direction"):
        config.add_past_key_values(names, "sideways")


def test_plain_functions_are_properties() -> None:
    class Own(TextEncoderOnnxConfig):
        def inputs(self) -> dict[str, dict[int, str]]:
            return {"input_ids": {0: "batch_size", 1: "sequence_length"}}

    assert list(Own(BERT).inputs) == ["input_ids"]


def test_generators_of_scripts() -> None:
    class Ones(DummyInputGenerator):
        SUPPORTED_INPUT_NAMES = ("token_type_ids",)

        def generate(
            self, input_name: str, framework: str = "pt", int_dtype: str = "int64", float_dtype: str = "fp32"
        ) -> Any:
            return self.constant_tensor((self.batch_size, self.sequence_length), 1, int_dtype, framework)

    class Own(BertOnnxConfig):
        DUMMY_INPUT_GENERATOR_CLASSES = (Ones, DummyTextInputGenerator)

    assert (Own(BERT).generate_dummy_inputs("np")["token_type_ids"] == 1).all()


def test_normalized_config() -> None:
    normalized = NormalizedTextConfig({"n_layer": 3, "hidden_size": 8}, num_layers="n_layer")
    assert normalized.num_layers == 3
    assert not normalized.has_attribute("vocab_size")
    with pytest.raises(AttributeError, match="allow_new"):
        NormalizedTextConfig({}, something="x")


def test_base_class_alone() -> None:
    assert next(iter(OnnxConfig(BERT).inputs)) == "input_ids"
    with pytest.raises(ExportError, match="model type 'nothing'"):
        OnnxConfig({"model_type": "nothing"})


def test_names_of_tracing() -> None:
    from onnxport.exporters.onnx.model_configs import register_tasks_manager_onnx
    from onnxport.exporters.utils import get_decoder_models_for_export

    assert callable(register_tasks_manager_onnx)
    with pytest.raises(ExportError, match="onnx_export_from_model"):
        get_decoder_models_for_export()
