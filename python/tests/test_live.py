"""Live models of PyTorch: the guide of the seed, word for word, and other models."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from onnxport import (
    ExportError,
    TasksManager,
    export,
    main_export,
    onnx_export_from_model,
    validate_model_outputs,
)
from small import SMALL


def test_the_guide(transformers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers.BertModel(transformers.BertConfig(**SMALL)).save_pretrained(tmp_path / "bert-base-uncased")
    monkeypatch.chdir(tmp_path)

    from onnxport.exporters.onnx.model_configs import BertOnnxConfig
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained("bert-base-uncased")
    onnx_config = BertOnnxConfig(config)
    assert onnx_config.DEFAULT_ONNX_OPSET == 18
    assert (
        repr(onnx_config.outputs)
        == "OrderedDict([('last_hidden_state', {0: 'batch_size', 1: 'sequence_length'})])"
    )
    onnx_config_for_seq_clf = BertOnnxConfig(config, task="sequence-classification")
    assert repr(onnx_config_for_seq_clf.outputs) == "OrderedDict([('logits', {0: 'batch_size'})])"

    from pathlib import Path

    from onnxport.exporters import TasksManager
    from onnxport.exporters.onnx import export
    from transformers import AutoModel

    base_model = AutoModel.from_pretrained("bert-base-uncased")

    onnx_path = Path("model.onnx")
    onnx_config_constructor = TasksManager.get_exporter_config_constructor("onnx", base_model)
    onnx_config = onnx_config_constructor(base_model.config)

    onnx_inputs, onnx_outputs = export(base_model, onnx_config, onnx_path, onnx_config.DEFAULT_ONNX_OPSET)
    assert (onnx_inputs, onnx_outputs) == (
        ["input_ids", "attention_mask", "token_type_ids"],
        ["last_hidden_state"],
    )

    onnx = pytest.importorskip("onnx")
    onnx_model = onnx.load("model.onnx")
    onnx.checker.check_model(onnx_model)

    from onnxport.exporters.onnx import validate_model_outputs

    report = validate_model_outputs(
        onnx_config, base_model, onnx_path, onnx_outputs, onnx_config.ATOL_FOR_VALIDATION
    )
    assert "recorded in the live model" in report.text


def small_models(transformers: Any) -> dict[str, tuple[Any, str]]:
    """Models of several kinds, with their tasks."""
    t = transformers
    vision = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    return {
        "llama": (
            t.LlamaForCausalLM(t.LlamaConfig(**SMALL, num_key_value_heads=2)),
            "text-generation-with-past",
        ),
        "llama_tied": (
            t.LlamaForCausalLM(t.LlamaConfig(**SMALL, tie_word_embeddings=True)),
            "text-generation-with-past",
        ),
        "gpt2": (
            t.GPT2LMHeadModel(t.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=100)),
            "text-generation",
        ),
        "bert_classifier": (
            t.BertForSequenceClassification(t.BertConfig(**SMALL, num_labels=3)),
            "text-classification",
        ),
        "bert_masked": (t.BertForMaskedLM(t.BertConfig(**SMALL)), "fill-mask"),
        "bert_half": (t.BertModel(t.BertConfig(**SMALL)).half(), "feature-extraction"),
        "bert_eager": (
            t.BertModel._from_config(t.BertConfig(**SMALL), attn_implementation="eager"),
            "feature-extraction",
        ),
        "vit": (
            t.ViTForImageClassification(t.ViTConfig(**vision, image_size=32, patch_size=8)),
            "image-classification",
        ),
    }


@pytest.mark.parametrize(
    "name",
    ["llama", "llama_tied", "gpt2", "bert_classifier", "bert_masked", "bert_half", "bert_eager", "vit"],
)
def test_models(transformers: Any, name: str, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(0)
    model, task = small_models(transformers)[name]
    config = TasksManager.get_exporter_config_constructor("onnx", model, task=task)(model.config)
    _, outputs = export(model, config, tmp_path / "live.onnx")
    report = validate_model_outputs(config, model, tmp_path / "live.onnx", outputs)
    assert "recorded in the live model" in report.text
    model.save_pretrained(tmp_path / "saved")
    export(str(tmp_path / "saved"), config, tmp_path / "folder.onnx")
    # save_pretrained does not store the kind of attention, and in transformers 5 it renames keys of some types.
    renamed = name == "vit" and transformers.__version__.startswith("5.")
    if name != "bert_eager" and not renamed:
        assert (tmp_path / "live.onnx").read_bytes() == (tmp_path / "folder.onnx").read_bytes()


def test_bfloat16_is_read_in_place(transformers: Any, tmp_path: Path) -> None:
    model = transformers.BertModel(transformers.BertConfig(**SMALL)).bfloat16()
    config = TasksManager.get_exporter_config_constructor("onnx", model)(model.config)
    _, outputs = export(model, config, tmp_path / "live.onnx")
    assert validate_model_outputs(config, model, tmp_path / "live.onnx", outputs).passed


def test_encoder_decoder(transformers: Any, tmp_path: Path) -> None:
    config = transformers.T5Config(d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=100)
    model = transformers.T5ForConditionalGeneration(config)
    report = onnx_export_from_model(model, tmp_path, task="text2text-generation-with-past")
    assert report.passed
    assert {"encoder_model.onnx", "decoder_model_merged.onnx"} <= {path.name for path in report.files}
    assert TasksManager.infer_task_from_model(model).startswith("text2text-generation")


def test_validation_with_another_live_model_fails(transformers: Any, tmp_path: Path) -> None:
    import torch

    model = transformers.BertModel(transformers.BertConfig(**SMALL))
    config = TasksManager.get_exporter_config_constructor("onnx", model)(model.config)
    _, outputs = export(model, config, tmp_path / "model.onnx")
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.mul_(2)
    with pytest.raises(ExportError) as raised:
        validate_model_outputs(config, model, tmp_path / "model.onnx", outputs)
    assert raised.value.code == "validation_failed"


def test_meta_tensors(transformers: Any, tmp_path: Path) -> None:
    import torch

    with torch.device("meta"):
        model = transformers.BertModel(transformers.BertConfig(**SMALL))
    config = TasksManager.get_exporter_config_constructor("onnx", model)(model.config)
    with pytest.raises(ExportError, match="device 'meta'"):
        export(model, config, tmp_path / "model.onnx")


def test_main_export_compares_with_the_live_model(transformers: Any, tmp_path: Path) -> None:
    model = transformers.BertForMaskedLM(transformers.BertConfig(**SMALL))
    report = onnx_export_from_model(model, tmp_path)
    assert report.passed
    assert "recorded in the live model" in report.validation.text


def test_get_model_from_task(transformers: Any, tmp_path: Path) -> None:
    transformers.BertForMaskedLM(transformers.BertConfig(**SMALL)).save_pretrained(tmp_path)
    model = TasksManager.get_model_from_task("auto", tmp_path)
    assert type(model).__name__ == "BertForMaskedLM"


def test_no_copy_of_the_weights(transformers: Any, tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import resource, torch
        from transformers import LlamaConfig, LlamaForCausalLM
        from onnxport import TasksManager, export
        model = LlamaForCausalLM(LlamaConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=8,
                                             num_attention_heads=8, vocab_size=32000)).eval()
        config = TasksManager.get_exporter_config_constructor("onnx", model, task="text-generation-with-past")(model.config)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        export(model, config, {str(tmp_path / "model.onnx")!r})
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """)
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 200  # MiB, of a model of 800


def test_sentence_transformer(transformers: Any, minilm: Path, tmp_path: Path) -> None:
    package = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    model = package.SentenceTransformer(str(minilm), device="cpu")
    report = onnx_export_from_model(model, tmp_path / "live")
    assert report.passed
    constructor = TasksManager.get_exporter_config_constructor("onnx", model)
    config = constructor(model[0].auto_model.config)
    assert list(config.outputs) == ["token_embeddings", "sentence_embedding"]
    main_export(minilm, tmp_path / "saved", do_validation=False)
    assert (tmp_path / "live/model.onnx").read_bytes() == (tmp_path / "saved/model.onnx").read_bytes()


def test_timm(transformers: Any, tmp_path: Path) -> None:
    package = pytest.importorskip("timm", reason="timm is not installed")
    model = package.create_model("resnet18", pretrained=False).eval()
    report = onnx_export_from_model(model, tmp_path)
    assert report.passed
    assert report.task == "image-classification"


def test_renamed_inputs_of_a_decoder(transformers: Any, tmp_path: Path) -> None:
    from onnxport.exporters.onnx import LlamaOnnxConfig

    names = {"input_ids": "ids", "attention_mask": "mask", "position_ids": "positions"}

    class Renamed(LlamaOnnxConfig):
        @property
        def inputs(self) -> dict[str, dict[int, str]]:
            return {names.get(name, name): axes for name, axes in super().inputs.items()}

    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL)).eval()
    config = Renamed(model.config, task="text-generation-with-past")
    inputs, outputs = export(model, config, tmp_path / "model.onnx")
    assert inputs[:2] == ["ids", "mask"]
    report = validate_model_outputs(config, model, tmp_path / "model.onnx", outputs)
    assert "recorded in the live model" in report.text
