"""Changes by scripts with `fn_get_submodels` and `ModelPatcher`: names, inputs, outputs, files. Nothing is traced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnxport import ExportError, export, main_export, onnx_export_from_model, validate_model_outputs
from onnxport.exporters.onnx import BertOnnxConfig, CLIPVisionModelOnnxConfig, LlamaOnnxConfig, T5OnnxConfig
from onnxport.exporters.onnx.model_patcher import ModelPatcher, PatchingSpec
from small import BERT, SMALL, NumpyModel


def test_parts_without_torch(bert: NumpyModel, tmp_path: Path) -> None:
    configs = {"one": BertOnnxConfig(BERT), "half": BertOnnxConfig(BERT, float_dtype="fp16")}
    report = onnx_export_from_model(
        bert,
        tmp_path,
        custom_onnx_configs=configs,
        fn_get_submodels=lambda model: {"one": model, "half": model},
    )
    assert report.passed
    assert {path.name for path in report.files} == {"one.onnx", "half.onnx", "config.json"}
    assert report.details["components"]["half"]["outputs"] == ["last_hidden_state"]


def test_errors(bert: NumpyModel, bert_folder: Path, tmp_path: Path) -> None:
    def run(model: Any, get: Callable[[Any], Any], **options: Any) -> None:
        configs = {"body": BertOnnxConfig(BERT)}
        main_export(model, tmp_path / "out", custom_onnx_configs=configs, fn_get_submodels=get, **options)

    with pytest.raises(ExportError, match="no model for body of custom_onnx_configs; it gives other"):
        run(bert, lambda model: {"other": model})
    with pytest.raises(ExportError, match="'body' is a int, expected a model"):
        run(bert, lambda model: {"body": 3})
    with pytest.raises(TypeError, match="expected a dict of models, got list"):
        run(bert, lambda model: [model])
    with pytest.raises(ExportError, match="does not go with optimize='O2'"):
        run(bert, lambda model: {"body": model}, optimize="O2")
    assert not (tmp_path / "out").exists()


def test_a_folder_needs_torch(bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxport.exporters.transformers_models.transformers_available", lambda: False)
    configs = {"body": BertOnnxConfig(BERT)}
    with pytest.raises(ExportError, match="takes a live model apart: give one, or install PyTorch") as raised:
        main_export(
            bert_folder, tmp_path, custom_onnx_configs=configs, fn_get_submodels=lambda model: {"body": model}
        )
    assert raised.value.code == "unsupported"


def test_parts_of_models(transformers: Any, tmp_path: Path) -> None:
    t = transformers
    llama = t.LlamaForCausalLM(t.LlamaConfig(**SMALL, num_key_value_heads=2))
    t5 = t.T5ForConditionalGeneration(
        t.T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=100)
    )
    vision = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    clip = t.CLIPModel(
        t.CLIPConfig(text_config=SMALL, vision_config={**vision, "image_size": 32, "patch_size": 8})
    )
    whole = T5OnnxConfig(t5.config, "text2text-generation", use_past=True, use_past_in_inputs=True)
    with_past = LlamaOnnxConfig(llama.config, "text-generation", use_past=True, use_past_in_inputs=True)
    cases: list[tuple[Any, dict[str, Any], Callable[[Any], dict[str, Any]]]] = [
        (
            llama,
            {
                "decoder_model": LlamaOnnxConfig(llama.config, "text-generation", use_past=True),
                "decoder_with_past_model": with_past,
            },
            lambda model: {"decoder_model": model, "decoder_with_past_model": model},
        ),
        (
            t5,
            {
                "encoder_model": whole.with_behavior("encoder"),
                "decoder_model": whole.with_behavior("decoder", use_past=True),
            },
            lambda model: {"encoder_model": model.get_encoder(), "decoder_model": model},
        ),
        (
            clip,
            {"vision": CLIPVisionModelOnnxConfig(clip.vision_model.config)},
            lambda model: {"vision": model.vision_model},
        ),
    ]
    for index, (model, configs, get) in enumerate(cases):
        folder = tmp_path / str(index)
        report = onnx_export_from_model(model, folder, custom_onnx_configs=configs, fn_get_submodels=get)
        assert report.passed
        assert {path.stem for path in report.files if path.suffix == ".onnx"} == set(configs)
        assert "recorded in the live model" in report.validation.text
    llama.save_pretrained(tmp_path / "llama")
    report = main_export(
        tmp_path / "llama",
        tmp_path / "from_folder",
        custom_onnx_configs={"decoder_with_past_model": with_past},
        fn_get_submodels=lambda model: {"decoder_with_past_model": model},
    )
    there, here = (tmp_path / name / "decoder_with_past_model.onnx" for name in ("0", "from_folder"))
    assert there.read_bytes() == here.read_bytes()


class PatchedConfig(BertOnnxConfig):
    """A configuration whose patched forward is `change(results)`."""

    change: Any = None
    names = ("embeddings",)

    @property
    def outputs(self) -> dict[str, dict[int, str]]:
        return {name: {0: "batch_size"} for name in self.names}

    def patch_model_for_export(self, model: Any, model_kwargs: Any = None) -> ModelPatcher:
        patcher = ModelPatcher(self, model, model_kwargs)
        original = patcher.orig_forward
        patcher.patched_forward = lambda **kwargs: type(self).change(original, kwargs)
        return patcher


def patched(change: Callable[[Any, dict[str, Any]], Any], *names: str) -> type[PatchedConfig]:
    attributes = {"change": staticmethod(change), "names": names or ("embeddings",), "__module__": __name__}
    return type("Patched", (PatchedConfig,), attributes)


def test_a_patch_that_names_outputs(transformers: Any, tmp_path: Path) -> None:
    model = transformers.BertForQuestionAnswering(transformers.BertConfig(**SMALL)).eval()
    forward = model.forward

    def change(original: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        results = original(**kwargs, return_dict=True)
        return {"end": results.end_logits, "start": results.start_logits}

    config = patched(change, "end", "start")(model.config, task="question-answering")
    _, outputs = export(model, config, tmp_path / "model.onnx")
    assert outputs == ["end", "start"]
    report = validate_model_outputs(config, model, tmp_path / "model.onnx", outputs)
    assert "recorded in the live model" in report.text
    assert model.forward == forward
    only = patched(lambda original, kwargs: {"first": original(**kwargs)[0]}, "first")
    _, outputs = export(model, only(model.config, task="question-answering"), tmp_path / "one.onnx")
    assert outputs == ["first"]


def test_a_class_of_patchers(transformers: Any, tmp_path: Path) -> None:
    model = transformers.BertModel(transformers.BertConfig(**SMALL)).eval()

    class Config(BertOnnxConfig):
        class _MODEL_PATCHER(ModelPatcher):  # noqa: N801
            pass

    _, outputs = export(model, Config(model.config), tmp_path / "model.onnx")
    export(model, BertOnnxConfig(model.config), tmp_path / "plain.onnx")
    assert outputs == ["last_hidden_state"]
    assert (tmp_path / "model.onnx").read_bytes() == (tmp_path / "plain.onnx").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda original, kwargs: {"embeddings": original(**kwargs)[0] * 2},
            "computes 'embeddings', which is none",
        ),
        (
            lambda original, kwargs: {"other": original(**kwargs)[0]},
            "does not return 'embeddings'; it returns other",
        ),
        (
            lambda original, kwargs: {
                "embeddings": original(**{**kwargs, "attention_mask": kwargs["attention_mask"] * 1})[0]
            },
            "changes 'attention_mask' of the model",
        ),
        (
            lambda original, kwargs: {"embeddings": original(**kwargs, position_ids=kwargs["input_ids"])[0]},
            "changes 'position_ids' of the model",
        ),
        (
            lambda original, kwargs: {"embeddings": (original(**kwargs), original(**kwargs))[0][0]},
            "calls the model 2 times, expected once",
        ),
    ],
)
def test_a_patch_that_computes(transformers: Any, change: Any, message: str, tmp_path: Path) -> None:
    model = transformers.BertModel(transformers.BertConfig(**SMALL))
    with pytest.raises(ExportError, match=message) as raised:
        export(model, patched(change)(model.config), tmp_path / "model.onnx")
    assert raised.value.code == "unsupported"
    assert "forward" not in vars(model)
    assert model.training


def test_patches_without_a_live_model(bert_folder: Path, tmp_path: Path) -> None:
    config = patched(lambda original, kwargs: original(**kwargs))(BERT)
    with pytest.raises(ExportError, match="give the live model of PyTorch, got str"):
        export(str(bert_folder), config, tmp_path / "model.onnx")

    class Specs(BertOnnxConfig):
        PATCHING_SPECS = [PatchingSpec(o=object(), name="forward")]

    with pytest.raises(ExportError, match="PATCHING_SPECS puts other functions into a traced model"):
        ModelPatcher(Specs(BERT), object())
