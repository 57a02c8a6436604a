"""Live models with adapters of peft that are not merged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
from onnxport import ExportError, TasksManager, export, main_export, validate_model_outputs
from onnxport.exporters.onnx import BertOnnxConfig
from small import BERT, SMALL, NumpyModel, bert_weights

QUERY = "encoder.layer.0.attention.self.query"
KEY = "encoder.layer.1.attention.self.key"


class Wrapped(NumpyModel):
    """A model without PyTorch, with wrappers as peft makes them: two LoRA layers of other ranks, and a saved module."""

    def __init__(self, active: list[str], method: str = "LORA") -> None:
        random = numpy.random.default_rng(1)
        super().__init__(BERT, bert_weights(BERT))
        weights = self.state_dict()
        self.adapter: dict[str, numpy.ndarray] = {}
        self.wrappers: dict[str, Any] = {}

        def wrap(path: str, inner: str, **facts: Any) -> None:
            for part in ("weight", "bias"):
                weights[f"{path}.{inner}.{part}"] = weights.pop(f"{path}.{part}")
            self.wrappers[path] = SimpleNamespace(active_adapters=active, disable_adapters=False, **facts)

        for path, rank, scaling in ((QUERY, 3, 2.0), (KEY, 2, 0.5)):
            wrap(path, "base_layer", scaling={"default": scaling}, r={"default": rank}, merged_adapters=[])
            for part, shape in (("lora_A", (rank, 16)), ("lora_B", (16, rank))):
                weight = random.normal(0, 0.3, shape).astype("float32")
                self.adapter[f"base_model.model.{path}.{part}.weight"] = weight
                weights[f"{path}.{part}.default.weight"] = weight
        wrap("pooler.dense", "original_module", modules_to_save={"default": None})
        for part, shape in (("weight", (16, 16)), ("bias", (16,))):
            saved = random.normal(0, 0.3, shape).astype("float32")
            self.adapter[f"base_model.model.pooler.dense.{part}"] = saved
            weights[f"pooler.dense.modules_to_save.default.{part}"] = saved
        settings = {"peft_type": method, "r": 3, "lora_alpha": 1, "modules_to_save": {"dense"}}
        self.peft_config = {"default": SimpleNamespace(peft_type=method, to_dict=lambda: settings)}

    def named_modules(self) -> Iterator[tuple[str, Any]]:
        yield "", self
        yield from self.wrappers.items()


def test_wrappers(tmp_path: Path, bert_folder: Path) -> None:
    model = Wrapped(["default"])
    config = BertOnnxConfig(BERT)
    _, outputs = export(model, config, tmp_path / "live.onnx")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    settings = {
        "peft_type": "LORA",
        "r": 3,
        "lora_alpha": 6,
        "modules_to_save": ["dense"],
        "use_rslora": False,
    }
    settings |= {"rank_pattern": {KEY: 2}, "alpha_pattern": {KEY: 1}}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    from onnxport.exporters.onnx.live_outputs import _write_safetensors

    _write_safetensors(adapter / "adapter_model.safetensors", model.adapter)
    main_export(bert_folder, tmp_path / "out", task="feature-extraction", adapters=[adapter])
    assert (tmp_path / "live.onnx").read_bytes() == (tmp_path / "out" / "model.onnx").read_bytes()
    assert validate_model_outputs(config, model, tmp_path / "live.onnx", outputs).passed


def test_without_active_adapters(tmp_path: Path, bert_folder: Path) -> None:
    export(Wrapped([]), BertOnnxConfig(BERT), tmp_path / "live.onnx")
    export(str(bert_folder), BertOnnxConfig(BERT), tmp_path / "base.onnx")
    assert (tmp_path / "live.onnx").read_bytes() == (tmp_path / "base.onnx").read_bytes()


def test_another_method(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match='key \'peft_type\' is "IA3", expected "LORA"') as raised:
        export(Wrapped(["default"], "IA3"), BertOnnxConfig(BERT), tmp_path / "model.onnx")
    assert raised.value.code == "unsupported"
    assert not (tmp_path / "model.onnx").exists()


def adapted(transformers: Any, peft: Any, name: str) -> tuple[Any, str]:
    """A model with adapters, and its task."""
    t = transformers

    def bert() -> Any:
        return t.BertForSequenceClassification(t.BertConfig(**SMALL, num_labels=3))

    def llama() -> Any:
        lora = peft.LoraConfig(
            task_type="CAUSAL_LM", r=4, use_rslora=True, target_modules=["q_proj", "embed_tokens"]
        )
        return peft.get_peft_model(t.LlamaForCausalLM(t.LlamaConfig(**SMALL, num_key_value_heads=2)), lora)

    def two(names: list[str]) -> Any:
        model = llama()
        model.add_adapter(
            "two", peft.LoraConfig(task_type="CAUSAL_LM", r=3, target_modules=["q_proj", "down_proj"])
        )
        model.base_model.set_adapter(names)
        return model

    def injected() -> Any:
        model = bert()
        model.add_adapter(peft.LoraConfig(r=4, target_modules=["query"]))
        return model

    def gpt2() -> Any:
        model = t.GPT2LMHeadModel(t.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=100))
        lora = peft.LoraConfig(
            task_type="CAUSAL_LM", r=4, fan_in_fan_out=True, target_modules=["c_attn", "c_proj"]
        )
        return peft.get_peft_model(model, lora)

    def classifier(**settings: Any) -> Any:
        return peft.get_peft_model(
            bert(), peft.LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=12, **settings)
        )

    ranks = {"layer.0.attention.self.query": 6}
    models: dict[str, tuple[Callable[[], Any], str]] = {
        "lora": (lambda: classifier(target_modules=["query"], rank_pattern=ranks), "text-classification"),
        "dora": (lambda: classifier(target_modules="all-linear", use_dora=True), "text-classification"),
        "injected": (injected, "text-classification"),
        "rslora": (llama, "text-generation-with-past"),
        "two": (lambda: two(["default", "two"]), "text-generation-with-past"),
        "one_of_two": (lambda: two(["two"]), "text-generation-with-past"),
        "gpt2": (gpt2, "text-generation"),
    }
    make, task = models[name]
    return make(), task


NAMES = ["lora", "dora", "rslora", "two", "one_of_two", "gpt2"]


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("injected", "active"),
        ("two", "one merged"),
        *((name, state) for name in NAMES for state in ("active", "merged", "disabled")),
    ],
)
def test_models(transformers: Any, name: str, state: str, tmp_path: Path) -> None:
    import torch

    peft = pytest.importorskip("peft", reason="peft is not installed")
    torch.manual_seed(0)
    model, task = adapted(transformers, peft, name)
    for key, parameter in model.named_parameters():
        if "lora_" in key or "modules_to_save" in key:
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    if state == "merged":
        model.merge_adapter()
    elif state == "one merged":  # layers that have it ignore the other one
        model.merge_adapter(["two"])
    elif state == "disabled":
        model.base_model.disable_adapter_layers()
    model.eval()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    config = TasksManager.get_exporter_config_constructor("onnx", model, task=task)(model.config)
    _, outputs = export(model, config, tmp_path / "model.onnx")
    report = validate_model_outputs(config, model, tmp_path / "model.onnx", outputs)
    assert "recorded in the live model" in report.text
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
