"""Quantization and optimization of exported files, with the names of `optimum.onnxruntime`."""

from .configuration import (
    AutoOptimizationConfig,
    AutoQuantizationConfig,
    OptimizationConfig,
    QuantizationConfig,
)
from .optimization import ORTOptimizer
from .quantization import ORTQuantizer

__all__ = [
    "AutoOptimizationConfig",
    "AutoQuantizationConfig",
    "ORTOptimizer",
    "ORTQuantizer",
    "OptimizationConfig",
    "QuantizationConfig",
]
