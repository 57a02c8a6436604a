"""Settings of quantization and optimization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ExportError

__all__ = ["AutoOptimizationConfig", "AutoQuantizationConfig", "OptimizationConfig", "QuantizationConfig"]

_OPERATORS = ("Conv", "MatMul", "Attention", "LSTM", "Gather", "Transpose", "EmbedLayerNormalization")


@dataclass
class QuantizationConfig:
    """How to quantize .onnx files: integer weights, and activations that are quantized when the model runs.

    Attributes:
        is_static: Must be false: static quantization needs calibration data.
        weights_dtype: "int8" or "uint8".
        weights_symmetric: Whether the range is as wide below 0 as above.
        activations_symmetric: The same for constants in the place of activations, such as tables.
        per_channel: One scale for each output channel.
        reduce_range: Weights of 7 bits.
        nodes_to_quantize: Names of nodes; empty: all.
        nodes_to_exclude: Names of nodes that stay.
        operators_to_quantize: Types of nodes.
    """

    is_static: bool = False
    weights_dtype: str = "int8"
    weights_symmetric: bool = True
    activations_symmetric: bool = False
    per_channel: bool = False
    reduce_range: bool = False
    nodes_to_quantize: list[str] = field(default_factory=list)
    nodes_to_exclude: list[str] = field(default_factory=list)
    operators_to_quantize: list[str] = field(default_factory=lambda: list(_OPERATORS))

    def __post_init__(self) -> None:
        if self.is_static:
            raise ExportError(
                "static quantization is not supported: it needs calibration data; use is_static=False",
                "unsupported",
            )

    def as_settings(self) -> dict[str, Any]:
        """For the library."""
        return {
            "weight_dtype": self.weights_dtype,
            "symmetric_weights": self.weights_symmetric,
            "symmetric_tables": self.activations_symmetric,
            "per_channel": self.per_channel,
            "reduce_range": self.reduce_range,
            "operators": self.operators_to_quantize,
            "nodes": self.nodes_to_quantize,
            "excluded_nodes": self.nodes_to_exclude,
        }


def _preset(
    is_static: bool,
    use_symmetric_activations: bool,
    use_symmetric_weights: bool,
    per_channel: bool,
    nodes_to_quantize: Sequence[str] | None,
    nodes_to_exclude: Sequence[str] | None,
    operators_to_quantize: Sequence[str] | None,
    weights_dtype: str = "int8",
    reduce_range: bool = False,
) -> QuantizationConfig:
    return QuantizationConfig(
        is_static,
        weights_dtype,
        use_symmetric_weights,
        use_symmetric_activations,
        per_channel,
        reduce_range,
        list(nodes_to_quantize or ()),
        list(nodes_to_exclude or ()),
        list(operators_to_quantize or _OPERATORS),
    )


class AutoQuantizationConfig:
    """Settings for kinds of processors."""

    @staticmethod
    def arm64(
        is_static: bool,
        use_symmetric_activations: bool = False,
        use_symmetric_weights: bool = True,
        per_channel: bool = True,
        nodes_to_quantize: Sequence[str] | None = None,
        nodes_to_exclude: Sequence[str] | None = None,
        operators_to_quantize: Sequence[str] | None = None,
    ) -> QuantizationConfig:
        """For ARM64: int8 weights."""
        return _preset(
            is_static, use_symmetric_activations, use_symmetric_weights, per_channel, nodes_to_quantize,
            nodes_to_exclude, operators_to_quantize,
        )  # fmt: skip

    avx512_vnni = arm64
    ppc64le = arm64

    @staticmethod
    def avx2(
        is_static: bool,
        use_symmetric_activations: bool = False,
        use_symmetric_weights: bool = True,
        per_channel: bool = True,
        reduce_range: bool = False,
        nodes_to_quantize: Sequence[str] | None = None,
        nodes_to_exclude: Sequence[str] | None = None,
        operators_to_quantize: Sequence[str] | None = None,
    ) -> QuantizationConfig:
        """For AVX2: uint8 weights."""
        return _preset(
            is_static, use_symmetric_activations, use_symmetric_weights, per_channel, nodes_to_quantize,
            nodes_to_exclude, operators_to_quantize, "uint8", reduce_range,
        )  # fmt: skip

    @staticmethod
    def avx512(
        is_static: bool,
        use_symmetric_activations: bool = False,
        use_symmetric_weights: bool = True,
        per_channel: bool = True,
        reduce_range: bool = False,
        nodes_to_quantize: Sequence[str] | None = None,
        nodes_to_exclude: Sequence[str] | None = None,
        operators_to_quantize: Sequence[str] | None = None,
    ) -> QuantizationConfig:
        """For AVX-512: int8 weights."""
        return _preset(
            is_static, use_symmetric_activations, use_symmetric_weights, per_channel, nodes_to_quantize,
            nodes_to_exclude, operators_to_quantize, "int8", reduce_range,
        )  # fmt: skip

    @staticmethod
    def tensorrt(*_: Any, **__: Any) -> QuantizationConfig:
        """Refused: it is static."""
        raise ExportError(
            "tensorrt: static quantization is not supported: it needs calibration data", "unsupported"
        )


@dataclass
class OptimizationConfig:
    """How to optimize: levels as Optimum's.

    Attributes:
        optimization_level: 0 or 1 for no contrib operators, 2 or 99 for those of ONNX Runtime.
        enable_gelu_approximation: The tanh approximation of gelu.
        fp16: Half precision.
        optimize_for_gpu: Accepted; the files are the same.
    """

    optimization_level: int = 1
    enable_gelu_approximation: bool = False
    fp16: bool = False
    optimize_for_gpu: bool = False

    @property
    def level(self) -> str:
        """ "O1" to "O4"."""
        if self.fp16:
            return "O4"
        if self.enable_gelu_approximation:
            return "O3"
        return "O2" if self.optimization_level >= 2 else "O1"


class AutoOptimizationConfig:
    """Settings by level."""

    @staticmethod
    def with_optimization_level(
        optimization_level: str, for_gpu: bool = False, **_: Any
    ) -> OptimizationConfig:
        """Settings of "O1" to "O4"."""
        settings = {
            "O1": OptimizationConfig(1),
            "O2": OptimizationConfig(2),
            "O3": OptimizationConfig(2, enable_gelu_approximation=True),
            "O4": OptimizationConfig(2, fp16=True),
        }
        if optimization_level not in settings:
            raise ExportError(
                f"optimization level '{optimization_level}': expected O1, O2, O3 or O4", "invalid_argument"
            )
        made = settings[optimization_level]
        made.optimize_for_gpu = for_gpu
        return made

    @classmethod
    def O1(cls, for_gpu: bool = False, **options: Any) -> OptimizationConfig:  # noqa: N802
        """No change of operators."""
        return cls.with_optimization_level("O1", for_gpu, **options)

    @classmethod
    def O2(cls, for_gpu: bool = False, **options: Any) -> OptimizationConfig:  # noqa: N802
        """Fused operators."""
        return cls.with_optimization_level("O2", for_gpu, **options)

    @classmethod
    def O3(cls, for_gpu: bool = False, **options: Any) -> OptimizationConfig:  # noqa: N802
        """Fused operators, and the tanh approximation of gelu."""
        return cls.with_optimization_level("O3", for_gpu, **options)

    @classmethod
    def O4(cls, for_gpu: bool = True, **options: Any) -> OptimizationConfig:  # noqa: N802
        """Fused operators in half precision."""
        return cls.with_optimization_level("O4", for_gpu, **options)
