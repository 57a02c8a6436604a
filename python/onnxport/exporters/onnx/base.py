"""The base classes of configurations."""

from .axes import ConfigBehavior
from .onnx_config import OnnxConfig
from .with_past import OnnxConfigWithPast, OnnxSeq2SeqConfigWithPast

__all__ = ["ConfigBehavior", "OnnxConfig", "OnnxConfigWithPast", "OnnxSeq2SeqConfigWithPast"]
