"""Exporters: `TasksManager`, and `onnxport.exporters.onnx`."""

from .tasks import TasksManager

__all__ = ["TasksManager"]
