"""Drop-in for Optimum and sentence-transformers, with the real packages."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxport.optimum
import pytest
from onnxport import ExportError


@pytest.fixture
def installed() -> Iterator[None]:
    pytest.importorskip("optimum.onnxruntime", reason="optimum-onnx is not installed")
    onnxport.optimum.install()
    yield
    onnxport.optimum.uninstall()


def test_ort_model(
    installed: None, transformers: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch
    from optimum.onnxruntime import ORTModelForFeatureExtraction

    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=100
    )
    model = transformers.BertModel(config).eval()
    model.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        exported = ORTModelForFeatureExtraction.from_pretrained(tmp_path, export=True)
    assert "onnxport exported bert for feature-extraction" in caplog.text
    ids = torch.arange(12).reshape(2, 6)
    mask = torch.ones_like(ids)
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask).last_hidden_state
    got = exported(input_ids=ids, attention_mask=mask).last_hidden_state
    assert torch.allclose(got, expected, atol=1e-4)


def test_decoder(installed: None, transformers: Any, tmp_path: Path) -> None:
    import torch
    from optimum.onnxruntime import ORTModelForCausalLM

    config = transformers.LlamaConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, vocab_size=100
    )
    model = transformers.LlamaForCausalLM(config).eval()
    model.save_pretrained(tmp_path)
    exported = ORTModelForCausalLM.from_pretrained(tmp_path, export=True)
    ids = torch.tensor([[5, 6, 7]])
    settings = {"max_new_tokens": 5, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    assert torch.equal(model.generate(ids, **settings), exported.generate(ids, **settings))


def test_sentence_transformers(
    installed: None, minilm: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    import shutil

    shutil.copytree(minilm, tmp_path / "model", ignore=shutil.ignore_patterns("onnx"))
    with caplog.at_level(logging.WARNING):
        exported = package.SentenceTransformer(
            str(tmp_path / "model"), backend="onnx", model_kwargs={"export": True}
        )
    assert "onnxport exported bert" in caplog.text
    original = package.SentenceTransformer(str(minilm), device="cpu")
    text = ["a sentence", "another, longer sentence"]
    assert abs(exported.encode(text) - original.encode(text)).max() < 1e-4


def test_without_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optimum.exporters.onnx.__main__", None)
    with pytest.raises(ExportError, match="pip install optimum-onnx"):
        onnxport.optimum.install()
    assert not onnxport.optimum.installed()
