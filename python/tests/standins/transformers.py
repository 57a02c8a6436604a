"""A stand-in for transformers in the examples of the documents, on machines without it: a small BERT of NumPy arrays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from small import BERT, NumpyModel, bert_weights

_MODEL = NumpyModel(BERT, bert_weights(BERT))


class AutoConfig:
    """The configuration of the model."""

    @staticmethod
    def from_pretrained(name: str) -> Any:
        assert name == "bert-base-uncased"
        return _MODEL.config


class AutoModel:
    """The model."""

    @staticmethod
    def from_pretrained(name: str) -> Any:
        assert name == "bert-base-uncased"
        return _MODEL
