"""Exporting and validating folders and live models, without PyTorch."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy
import onnxport
import pytest
from onnxport import (
    ExportError,
    export,
    export_models,
    main_export,
    onnx_export_from_model,
    validate_model_outputs,
    validate_models_outputs,
)
from onnxport.exporters.onnx import BertOnnxConfig, LlamaOnnxConfig
from onnxport.exporters.onnx.config import TextEncoderOnnxConfig
from small import BERT, NumpyModel, bert_weights, write_checkpoint


def test_live_model_gives_the_bytes_of_its_folder(
    bert: NumpyModel, bert_folder: Path, tmp_path: Path
) -> None:
    config = BertOnnxConfig(BERT)
    names = export(bert, config, tmp_path / "live.onnx", config.DEFAULT_ONNX_OPSET)
    assert names == (["input_ids", "attention_mask", "token_type_ids"], ["last_hidden_state"])
    export(str(bert_folder), config, tmp_path / "folder.onnx")
    assert (tmp_path / "live.onnx").read_bytes() == (tmp_path / "folder.onnx").read_bytes()
    report = validate_model_outputs(
        config, bert, tmp_path / "live.onnx", names[1], config.ATOL_FOR_VALIDATION
    )
    assert report.passed
    assert "✓" in report._repr_html_()


def test_tensors_that_are_not_dense(bert: NumpyModel, tmp_path: Path) -> None:
    weights = {
        key: array.T.copy().T if array.ndim == 2 else array for key, array in bert.state_dict().items()
    }
    export(bert, BertOnnxConfig(BERT), tmp_path / "dense.onnx")
    export(NumpyModel(BERT, weights), BertOnnxConfig(BERT), tmp_path / "turned.onnx")
    assert (tmp_path / "dense.onnx").read_bytes() == (tmp_path / "turned.onnx").read_bytes()
    weights = {key: array.astype("complex64") for key, array in weights.items()}
    with pytest.raises(ExportError, match="DLPack type"):
        export(NumpyModel(BERT, weights), BertOnnxConfig(BERT), tmp_path / "model.onnx")


def test_validation_finds_other_weights(bert: NumpyModel, tmp_path: Path) -> None:
    config = BertOnnxConfig(BERT)
    export(bert, config, tmp_path / "model.onnx")
    other = NumpyModel(BERT, bert_weights(BERT, seed=1))
    with pytest.raises(ExportError, match="does NOT compute") as raised:
        validate_model_outputs(config, other, tmp_path / "model.onnx")
    assert raised.value.code == "validation_failed"
    assert raised.value.exit_status == 8


def test_main_export(bert_folder: Path, tmp_path: Path) -> None:
    report = main_export(bert_folder, tmp_path / "out", task="feature-extraction")
    assert report.passed
    assert report.model_type == "bert"
    assert {path.name for path in report.files} == {"config.json", "model.onnx"}
    assert "bert" in report._repr_html_()


def test_main_export_of_a_live_model(bert: NumpyModel, bert_folder: Path, tmp_path: Path) -> None:
    live = onnxport.onnx_export_from_model(bert, tmp_path / "live", task="feature-extraction")
    main_export(bert_folder, tmp_path / "folder", task="feature-extraction")
    assert live.passed
    assert (tmp_path / "live/model.onnx").read_bytes() == (tmp_path / "folder/model.onnx").read_bytes()


def test_sentence_transformers(minilm: Path, tmp_path: Path) -> None:
    report = main_export(minilm, tmp_path)
    assert report.passed
    assert report.task == "feature-extraction"


@pytest.mark.parametrize("level", ["O2", "O4"])
def test_optimize(bert_folder: Path, tmp_path: Path, level: str) -> None:
    assert main_export(bert_folder, tmp_path, optimize=level).passed


def test_half_precision_and_static_axes(bert_folder: Path, tmp_path: Path) -> None:
    assert main_export(bert_folder, tmp_path / "half", dtype="fp16").passed
    assert main_export(bert_folder, tmp_path / "static", no_dynamic_axes=True, sequence_length=8).passed


def test_several_models(bert: NumpyModel, tmp_path: Path) -> None:
    pairs: dict[str, Any] = {
        "one": (bert, BertOnnxConfig(BERT)),
        "two": (bert, BertOnnxConfig(BERT, float_dtype="fp16")),
    }
    _, outputs = export_models(pairs, tmp_path)
    assert all(report.passed for report in validate_models_outputs(pairs, outputs, tmp_path))


def test_custom_outputs_and_inputs(bert_folder: Path, tmp_path: Path) -> None:
    class Renamed(BertOnnxConfig):
        ATOL_FOR_VALIDATION = 1e-4

        @property
        def inputs(self) -> dict[str, dict[int, str]]:
            return {name: {0: "batch", 1: "tokens"} for name in ("input_ids", "attention_mask")}

        @property
        def outputs(self) -> dict[str, dict[int, str]]:
            return {"embeddings": {0: "batch", 1: "tokens"}}

    report = main_export(
        bert_folder, tmp_path, task="feature-extraction", custom_onnx_configs={"model": Renamed(BERT)}
    )
    assert report.passed
    assert report.details["inputs"] == ["input_ids", "attention_mask"]
    assert report.details["outputs"] == ["embeddings"]


@pytest.mark.parametrize("by_place", [True, False])
def test_renamed_inputs(by_place: bool, bert: NumpyModel, tmp_path: Path) -> None:
    class Renamed(BertOnnxConfig):
        @property
        def inputs(self) -> dict[str, dict[int, str]]:
            names = ("ids", "mask", "types") if by_place else ("mask", "ids")
            return {name: {0: "batch", 1: "tokens"} for name in names}

        @property
        def torch_to_onnx_input_map(self) -> dict[str, str]:
            return {} if by_place else {"input_ids": "ids", "attention_mask": "mask"}

    config = Renamed(BERT)
    made = config.generate_dummy_inputs("np", sequence_length=5)
    assert {name: array.shape for name, array in made.items()} == {name: (2, 5) for name in config.inputs}
    assert (made["mask"] == 1).all()
    names = export(bert, config, tmp_path / "renamed.onnx")
    assert names == (list(config.inputs), ["last_hidden_state"])
    assert validate_model_outputs(config, bert, tmp_path / "renamed.onnx", names[1]).passed
    report = onnx_export_from_model(
        bert, tmp_path / "out", task="feature-extraction", custom_onnx_configs={"model": config}
    )
    assert report.passed
    assert report.details["inputs"] == list(config.inputs)


def renamed_inputs(config_class: type[Any], names: list[str], config: Any, **options: Any) -> list[str]:
    """The dummy inputs of a configuration with these inputs; the map renames the first input and the cache."""
    axes = {name: {0: "batch"} for name in names}
    torch_to_onnx = {"input_ids": "ids", "past_key_values.0.key": "key"}
    attributes = {"inputs": property(lambda self: axes), "torch_to_onnx_input_map": torch_to_onnx}
    own = type("Own", (config_class,), {"__module__": __name__, **attributes})
    return list(own(config, **options).generate_dummy_inputs("np"))


def test_inputs_of_a_cache() -> None:
    llama = {"model_type": "llama", "num_hidden_layers": 1}
    cache = ["past_key_values.0.key", "past_key_values.0.value"]
    for names in (["ids", "mask", *cache, "positions"], ["ids", "attention_mask", *cache]):
        assert renamed_inputs(LlamaOnnxConfig, names, llama, task="text-generation-with-past") == names
    with pytest.raises(
        ExportError, match="'key': the inputs of the cache keep their names; expected 'past_key"
    ) as raised:
        renamed_inputs(LlamaOnnxConfig, ["input_ids", "key"], llama, task="text-generation-with-past")
    assert raised.value.code == "unsupported"


def test_inputs_that_there_are_not() -> None:
    for names in (["id"], ["input_ids", "id", "token_type_ids"]):
        with pytest.raises(ExportError, match="no dummy input generator of 'bert' makes input 'id'"):
            renamed_inputs(BertOnnxConfig, names, BERT)


def test_custom_configs_that_would_need_tracing(bert_folder: Path, tmp_path: Path) -> None:
    class More(BertOnnxConfig):
        @property
        def outputs(self) -> dict[str, dict[int, str]]:
            return {"last_hidden_state": {}, "something_else": {}}

    with pytest.raises(ExportError, match=r"something_else.*tracing") as raised:
        main_export(bert_folder, tmp_path, custom_onnx_configs={"model": More(BERT)})
    assert raised.value.code == "unsupported"

    class Patched(BertOnnxConfig):
        PATCHING_SPECS = [object()]

    with pytest.raises(ExportError, match="nothing is traced"):
        export(str(bert_folder), Patched(BERT), tmp_path / "model.onnx")
    with pytest.raises(ExportError, match="the export has no file 'decoder'; it has model"):
        main_export(bert_folder, tmp_path, custom_onnx_configs={"decoder": BertOnnxConfig(BERT)})


def test_errors_are_those_of_the_program(bert: NumpyModel, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no such folder") as raised:
        main_export(tmp_path / "nothing" / "there", tmp_path / "out")
    assert raised.value.code == "bad_config"

    weights = dict(bert.state_dict())
    del weights["encoder.layer.1.output.dense.bias"]
    with pytest.raises(
        ExportError, match=r"'encoder.layer.1.output.dense.bias'.*is missing in the model in memory"
    ) as raised:
        export(NumpyModel(BERT, weights), BertOnnxConfig(BERT), tmp_path / "model.onnx")
    assert raised.value.code == "bad_checkpoint"
    assert not list(tmp_path.glob("*.onnx*"))

    weights = {**bert.state_dict(), "decoder.weight": numpy.zeros(3, "float32")}
    with pytest.raises(ExportError, match=r"decoder\.weight"):
        export(NumpyModel(BERT, weights), BertOnnxConfig(BERT), tmp_path / "model.onnx")
    with pytest.raises(TypeError, match="unexpected argument 'width_of_image'"):
        main_export(tmp_path, tmp_path / "out", width_of_image=3)
    with pytest.raises(TypeError, match="expected an OnnxConfig"):
        export(bert, object(), tmp_path / "model.onnx")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected a model"):
        export(3, BertOnnxConfig(BERT), tmp_path / "model.onnx")


def test_unregistered_class(tmp_path: Path) -> None:
    class Alone(TextEncoderOnnxConfig):
        pass

    folder = write_checkpoint(tmp_path / "alone", {**BERT, "model_type": "alone"}, bert_weights(BERT))
    with pytest.raises(ExportError, match="model type 'alone'"):
        export(str(folder), Alone({**BERT, "model_type": "alone"}), tmp_path / "model.onnx")


def test_arguments_without_effect(bert_folder: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="device='cuda' has no effect"):
        main_export(bert_folder, tmp_path, device="cuda", do_validation=False)


def test_threads_side_by_side(bert: NumpyModel, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(index: int) -> None:
        try:
            export(bert, BertOnnxConfig(BERT), tmp_path / f"{index}.onnx")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len({(tmp_path / f"{index}.onnx").read_bytes() for index in range(4)}) == 1


def test_progress_and_notices(bert_folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    main_export(bert_folder, tmp_path, on_notice=lines.append, progress=True)
    assert any("task: feature-extraction" in line for line in lines)


def test_exceptions_of_listeners(bert_folder: Path, tmp_path: Path) -> None:
    def fail(line: str) -> None:
        raise LookupError(line)

    with pytest.raises(LookupError, match="task"):
        main_export(bert_folder, tmp_path, on_notice=fail)
    assert not list(tmp_path.glob("*.onnx"))
