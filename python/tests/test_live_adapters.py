"""Live models with adapters of peft that are not merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnxport import ExportError, onnx_export_from_model
from test_live import SMALL


@pytest.fixture
def peft() -> Any:
    """peft, for tests that need it."""
    return pytest.importorskip("peft", reason="peft is not installed")


def llama(transformers: Any) -> Any:
    """A tiny decoder."""
    import torch

    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, num_key_value_heads=2)).eval()


def lora(peft: Any, **others: Any) -> Any:
    """Adapters that change the results."""
    return peft.LoraConfig(
        r=2, lora_alpha=3, target_modules=["q_proj", "down_proj"], init_lora_weights=False, **others
    )


def run(model: Any, folder: Path) -> tuple[Any, Any]:
    """The logits of the model, and those of its exported file."""
    import numpy
    import onnxruntime
    import torch

    report = onnx_export_from_model(model, folder, task="text-generation")
    assert report.passed
    ids = numpy.array([[3, 17, 9, 41, 5]], dtype=numpy.int64)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    every = {"input_ids": ids, "attention_mask": numpy.ones_like(ids), "position_ids": numpy.arange(5)[None]}
    feed = {one.name: every[one.name] for one in session.get_inputs()}
    with torch.no_grad():
        wanted = model(input_ids=torch.from_numpy(ids)).logits.numpy()
    return session.run(["logits"], feed)[0], wanted


def test_a_model_around_another(transformers: Any, peft: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    plain = run(llama(transformers), tmp_path / "plain")[0]
    model = peft.get_peft_model(llama(transformers), lora(peft, task_type="CAUSAL_LM"))
    got, wanted = run(model, tmp_path / "adapted")
    assert abs(got - wanted).max() < 1e-4
    assert abs(got - plain).max() > 1e-2
    assert any("lora_A" in name for name in model.state_dict())  # it stays as it is


def test_several_adapters_and_none(transformers: Any, peft: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = peft.get_peft_model(llama(transformers), lora(peft, task_type="CAUSAL_LM"))
    model.add_adapter("second", lora(peft, task_type="CAUSAL_LM"))
    model.set_adapter("second")
    got, wanted = run(model, tmp_path / "second")
    assert abs(got - wanted).max() < 1e-4
    model.base_model.set_adapter(["default", "second"])
    got, wanted = run(model, tmp_path / "both")
    assert abs(got - wanted).max() < 1e-4
    model.merge_adapter()
    got, wanted = run(model, tmp_path / "merged")
    assert abs(got - wanted).max() < 1e-4


def test_adapters_inside_a_model_of_transformers(transformers: Any, peft: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = llama(transformers)
    model.add_adapter(lora(peft))
    got, wanted = run(model, tmp_path / "inside")
    assert abs(got - wanted).max() < 1e-4


def test_other_kinds_of_adapters_are_refused(transformers: Any, peft: Any, tmp_path: Path) -> None:
    kind = peft.IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[])
    with pytest.raises(ExportError, match="IA3"):
        onnx_export_from_model(peft.get_peft_model(llama(transformers), kind), tmp_path)
