"""Small models for the tests, and for trying a wheel: folders, and live ones without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy

BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}

# Sizes of small models of transformers.
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 100,
}


def bert_weights(config: dict[str, Any], seed: int = 0) -> dict[str, numpy.ndarray]:
    """Random weights of a BertModel."""
    random = numpy.random.default_rng(seed)
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}."
        linears = {f"attention.self.{name}": (width, width) for name in ("query", "key", "value")}
        linears |= {
            "attention.output.dense": (width, width),
            "intermediate.dense": (inner, width),
            "output.dense": (width, inner),
        }
        for name, shape in linears.items():
            shapes |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        norms += [at + "attention.output.LayerNorm", at + "output.LayerNorm"]
    for name in norms:
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return {key: random.normal(0, 0.2, shape).astype("float32") for key, shape in shapes.items()}


class NumpyModel:
    """A live model without PyTorch: a state dict of arrays and a configuration."""

    def __init__(self, config: dict[str, Any], weights: dict[str, numpy.ndarray]) -> None:
        self.config = SimpleNamespace(**config, to_dict=lambda: config)
        self._weights = weights

    def state_dict(self) -> dict[str, numpy.ndarray]:
        return self._weights


def write_checkpoint(folder: Path, config: dict[str, Any], weights: dict[str, numpy.ndarray]) -> Path:
    """A checkpoint folder."""
    from onnxport.exporters.onnx.live_outputs import _write_safetensors

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    _write_safetensors(folder / "model.safetensors", weights)
    return folder
