"""TasksManager: queries, constructors, registration."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnxport import ExportError, TasksManager
from onnxport.exporters.onnx import (
    BertOnnxConfig,
    TextDecoderOnnxConfig,
    TextEncoderOnnxConfig,
    model_configs,
)
from small import NumpyModel


def test_tasks_of_a_type() -> None:
    tasks = TasksManager.get_supported_tasks_for_model_type("bert", "onnx")
    assert list(tasks) == [
        "feature-extraction",
        "fill-mask",
        "multiple-choice",
        "question-answering",
        "text-classification",
        "token-classification",
    ]
    assert tasks["fill-mask"]({"model_type": "bert"}).task == "fill-mask"


def test_constructor_of_a_model(bert: NumpyModel) -> None:
    constructor = TasksManager.get_exporter_config_constructor("onnx", bert)
    config = constructor(bert.config)
    assert isinstance(config, BertOnnxConfig)
    assert isinstance(config, TextEncoderOnnxConfig)


def test_constructor_with_past() -> None:
    constructor = TasksManager.get_exporter_config_constructor(
        "onnx", model_type="llama", task="text-generation-with-past"
    )
    config = constructor({"model_type": "llama", "num_hidden_layers": 1})
    assert isinstance(config, TextDecoderOnnxConfig)
    assert config.use_past
    assert config.use_past_in_inputs
    assert config.task == "text-generation"
    assert "past_key_values.0.key" in config.inputs
    assert "present.0.value" in config.outputs


def test_synonyms() -> None:
    assert TasksManager.map_from_synonym("sequence-classification") == "text-classification"
    assert "causal-lm" in TasksManager.synonyms_for_task("text-generation")


def test_inference(bert: NumpyModel, bert_folder: Path, minilm: Path) -> None:
    assert TasksManager.infer_task_from_model(bert_folder) == "feature-extraction"
    assert TasksManager.infer_library_from_model(bert_folder) == "transformers"
    assert TasksManager.infer_library_from_model(minilm) == "sentence_transformers"


def test_get_model_without_transformers(bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxport.exporters.tasks.transformers_available", lambda: False)
    handle = TasksManager.get_model_from_task("feature-extraction", bert_folder)
    assert handle.config.model_type == "bert"
    assert handle.config.hidden_size == 16


def test_every_type_has_a_class() -> None:
    for model_type in TasksManager.get_supported_model_types():
        made = model_configs.config_class(model_type)
        assert made.__name__.endswith("OnnxConfig")
        # Two spellings of a type have one name.
        named = getattr(model_configs, made.__name__)
        assert named.MODEL_TYPE.replace("-", "_") == model_type.replace("-", "_")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"model_type": "brt"}, "unsupported", "similar types are: bart, bert, bit"),
        (
            {"model_type": "bert", "task": "object-detection"},
            "unsupported",
            "task 'object-detection' is not supported for model type 'bert'",
        ),
        ({}, "invalid_argument", "give a model or a model type"),
    ],
)
def test_errors(arguments: dict[str, str], code: str, message: str) -> None:
    with pytest.raises(ExportError, match=message) as raised:
        TasksManager.get_exporter_config_constructor("onnx", **arguments)
    assert raised.value.code == code


def test_other_exporters() -> None:
    with pytest.raises(ExportError, match="expected onnx"):
        TasksManager.get_supported_tasks_for_model_type("bert", "tflite")
