"""The C++ library of onnxport. The package around it is the interface."""

from collections.abc import Mapping, Sequence
import os
import pathlib
from typing import Annotated, overload

from numpy.typing import NDArray

from onnxport._native import nn as nn, op as op


version: str = '0.1.0'

def definitions() -> list[tuple]:
    """(library, model type, tasks) of each architecture that has tasks."""

def tasks_of(model_type: str, library: str) -> list[str]: ...

def map_from_synonym(arg: str, /) -> str: ...

def infer_library(arg: str | os.PathLike, /) -> str: ...

def infer_task(folder: str | os.PathLike, library: str) -> str: ...

def find_source(model: str | os.PathLike, adapters: Sequence[str | os.PathLike], revision: str, subfolder: str, token: str, cache_dir: str | os.PathLike, local_files_only: bool, force_download: bool, on_progress: object | None, on_notice: object | None) -> tuple:
    """
    (folder, folders of adapters, pipeline tag) of a model, downloaded if necessary.
    """

class LiveWeights:
    """The weights of a model in memory, in place of those of a folder."""

    def __init__(self, folder: str | os.PathLike, tensors: Sequence[tuple[str, Annotated[NDArray, dict(writable=False)]]]) -> None: ...

class Model:
    """A checkpoint that was opened for one task. Nothing is loaded."""

    @property
    def task(self) -> str: ...

    @property
    def task_reason(self) -> str: ...

    @property
    def folder(self) -> pathlib.Path: ...

    @property
    def weights_folder(self) -> pathlib.Path: ...

    @property
    def model_type(self) -> str: ...

    @property
    def registered_type(self) -> str: ...

    @property
    def library(self) -> str: ...

    @property
    def config_text(self) -> str: ...

    @property
    def notices(self) -> list[str]: ...

    @property
    def num_parameters(self) -> int: ...

    @property
    def config(self) -> PretrainedConfig: ...

    def scope(self) -> Scope:
        """The root of the model's keys."""

def open_model(task: str, folder: str | os.PathLike, library: str, adapters: Sequence[str | os.PathLike], pipeline_tag: str, config_values: Mapping[str, str]) -> Model: ...

class Config:
    """A configuration class of the library."""

    @property
    def task(self) -> str: ...

    @property
    def model_type(self) -> str: ...

    @property
    def inputs(self) -> list[tuple[str, dict[int, str]]]: ...

    @property
    def outputs(self) -> list[tuple[str, dict[int, str]]]: ...

    @property
    def states(self) -> list[tuple]: ...

    @property
    def atol(self) -> float: ...

    @property
    def opset(self) -> int: ...

    @property
    def variants(self) -> list[str]: ...

    @property
    def base_class(self) -> str: ...

    def normalized(self, quantity: str) -> int | None: ...

    def dummy_inputs(self, shapes: dict, seed: int) -> dict: ...

    def with_behavior(self, behavior: str, use_past: bool, use_past_in_inputs: bool) -> Config: ...

    def changed(self, inputs: Sequence[tuple[str, Mapping[int, str]]] | None, outputs: Sequence[tuple[str, Mapping[int, str]]] | None, atol: float | None, opset: int | None, origins: Mapping[str, str] = {}, input_origins: Mapping[str, str] = {}) -> Config: ...

def make_config(model_type: str, library: str, config: str, task: str, int_dtype: str, float_dtype: str, variant: str, interface_options: Sequence[str], preprocessors: str | os.PathLike | None) -> Config: ...

def config_of_model(model: Model, int_dtype: str, float_dtype: str, variant: str, interface_options: Sequence[str]) -> Config: ...

def make_middle_config(name: str, model_type: str, config: str, task: str, int_dtype: str, float_dtype: str, preprocessors: str | os.PathLike | None) -> Config: ...

def base_class_of_type(model_type: str, library: str) -> str: ...

def main_export(options: dict, configs: Mapping[str, Config]) -> tuple:
    """
    Exports; returns whether validation passed, the report as JSON, and the report on validation.
    """

def main_validate(options: dict) -> tuple:
    """The same for files that exist."""

def plan_components(options: dict) -> list[tuple]:
    """
    (name, stem, folder, task, part, inputs, outputs) of each component of an export.
    """

def export_onnx(model: Model, config: Config, output: str | os.PathLike, options: dict) -> tuple[list[str], list[str]]:
    """Writes one file; returns the names of its inputs and outputs."""

def validate(config: Config, model: Model, onnx_model: str | os.PathLike, outputs: Sequence[str], atol: float | None, options: dict) -> tuple:
    """Compares a file with its model, like main_validate."""

def quantize(onnx_model: str | os.PathLike, output: str | os.PathLike, settings: dict, external_data: bool, on_progress: object | None, on_notice: object | None) -> list[tuple]:
    """
    Quantizes .onnx files dynamically: (source, path, bytes before, bytes after, nodes) of each.
    """

def set_onnxruntime(library: str | os.PathLike) -> None: ...

def onnxruntime_version() -> str: ...

def optimizing_export_command(onnx_model: str | os.PathLike, output: str | os.PathLike, level: str) -> str: ...

def run_program(arguments: Sequence[str], load_plugin: object | None = None, command: Sequence[str] = [], many_engine: object | None = None) -> int:
    """
    Runs a command line of the program, with its name first, and returns the exit status. `command` starts the program again. `many_engine` runs the exports of a list.
    """

def run_many_task(task: str, command: Sequence[str]) -> str:
    """
    Runs a task of export-many on the machine where this is called, and returns its result as a text.
    """

class Dim:
    """An extent: a number, or a polynomial of symbols such as batch_size."""

    def __init__(self, arg: int, /) -> None: ...

    @staticmethod
    def symbol(arg: str, /) -> Dim: ...

    @property
    def constant(self) -> int | None:
        """The number, if it is one."""

    def floor_div(self, arg: int, /) -> Dim: ...

    def __floordiv__(self, arg: int, /) -> Dim: ...

    def __add__(self, arg: Dim, /) -> Dim: ...

    def __radd__(self, arg: Dim, /) -> Dim: ...

    def __sub__(self, arg: Dim, /) -> Dim: ...

    def __rsub__(self, arg: Dim, /) -> Dim: ...

    def __mul__(self, arg: Dim, /) -> Dim: ...

    def __rmul__(self, arg: Dim, /) -> Dim: ...

    def __eq__(self, arg: Dim, /) -> bool: ...

    def __hash__(self) -> int: ...

    def __repr__(self) -> str: ...

class Weight:
    """A tensor of the checkpoint, or a lazy expression over such tensors."""

    @property
    def shape(self) -> list[int]: ...

    @property
    def dtype(self) -> str: ...

    @property
    def name(self) -> str: ...

    def cast(self, arg: str, /) -> Weight: ...

    def permute(self, axes: Sequence[int]) -> Weight: ...

    def reshape(self, shape: Sequence[int]) -> Weight: ...

    def slice(self, axis: int, begin: int, end: int) -> Weight: ...

    def add(self, arg: Weight, /) -> Weight: ...

    def sub(self, arg: Weight, /) -> Weight: ...

    def mul(self, arg: Weight, /) -> Weight: ...

    def div(self, arg: Weight, /) -> Weight: ...

    def sqrt(self) -> Weight: ...

    def exp(self) -> Weight: ...

    @staticmethod
    def concat(parts: Sequence[Weight], axis: int) -> Weight: ...

    @staticmethod
    def constant(shape: Sequence[int], values: Sequence[float], dtype: str = 'fp32') -> Weight: ...

class Scope:
    """A place in the tree of modules: a prefix of checkpoint keys."""

    @overload
    def __truediv__(self, arg: int, /) -> Scope: ...

    @overload
    def __truediv__(self, arg: str, /) -> Scope: ...

    @property
    def path(self) -> str: ...

    def base_model(self, prefix: str) -> Scope:
        """
        The base model inside a model with a head, or this scope if there is no prefix.
        """

    def weight(self, name: str, shape: Sequence[int]) -> Weight: ...

    def try_weight(self, name: str, shape: Sequence[int]) -> Weight | None: ...

    def has(self, name: str) -> bool: ...

    def shape_of(self, name: str) -> list[int] | None: ...

    def exists(self) -> bool: ...

    def ignore(self, name: str) -> None: ...

class Graph:
    """The graph that a definition builds."""

    def weight(self, weight: Weight) -> Value:
        """A weight as a value, in the graph's float dtype."""

    @property
    def float_dtype(self) -> str: ...

class Value:
    """A tensor of the graph."""

    @property
    def shape(self) -> list[Dim]: ...

    @property
    def rank(self) -> int: ...

    @property
    def dtype(self) -> str: ...

    @property
    def graph(self) -> Graph: ...

    def dim(self, axis: int) -> Dim: ...

    @overload
    def __add__(self, arg: Value, /) -> Value: ...

    @overload
    def __add__(self, arg: float, /) -> Value: ...

    def __radd__(self, arg: float, /) -> Value: ...

    @overload
    def __sub__(self, arg: Value, /) -> Value: ...

    @overload
    def __sub__(self, arg: float, /) -> Value: ...

    def __rsub__(self, arg: float, /) -> Value: ...

    @overload
    def __mul__(self, arg: Value, /) -> Value: ...

    @overload
    def __mul__(self, arg: float, /) -> Value: ...

    def __rmul__(self, arg: float, /) -> Value: ...

    @overload
    def __truediv__(self, arg: Value, /) -> Value: ...

    @overload
    def __truediv__(self, arg: float, /) -> Value: ...

    def __matmul__(self, arg: Value, /) -> Value: ...

    def __neg__(self) -> Value: ...

    def __repr__(self) -> str: ...

class path:
    """
    `with path(value, "encoder"):` the module path of the nodes made in it.
    """

    def __init__(self, any: Value, path: str) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *args) -> None: ...

class Inputs:
    """The inputs of the graph, by name."""

    def __getitem__(self, arg: str, /) -> Value: ...

    def get(self, name: str) -> Value | None:
        """The input, or None."""

    def __contains__(self, arg: str, /) -> bool: ...

    def keys(self) -> list[str]: ...

class Component:
    """The file whose graph is built."""

    @property
    def name(self) -> str: ...

    @property
    def task(self) -> str: ...

    @property
    def part(self) -> str: ...

    @property
    def inputs(self) -> list[str]: ...

    @property
    def outputs(self) -> list[str]: ...

class PretrainedConfig:
    """
    config.json with the defaults of the class. Every key has to be read, or declared harmless.
    """

    @property
    def model_type(self) -> str: ...

    @property
    def architectures(self) -> list[str]: ...

    @property
    def num_labels(self) -> int: ...

    def has(self, arg: str, /) -> bool: ...

    def integer(self, key: str, fallback: int | None = None) -> int: ...

    def real(self, key: str, fallback: float | None = None) -> float: ...

    def flag(self, key: str, fallback: bool | None = None) -> bool: ...

    def string(self, key: str, fallback: str | None = None) -> str: ...

    def integers(self, key: str) -> list[int]: ...

    def strings(self, key: str) -> list[str]: ...

    def maybe_integer(self, key: str) -> int | None: ...

    def maybe_string(self, key: str) -> str | None: ...

    def sub(self, key: str, model_type: str = '') -> PretrainedConfig: ...

    def harmless(self, keys: Sequence[str]) -> None: ...

def register_definition(model_type: str, library: str, tasks: Sequence[str], make_config: object, forward: object, ignorable_keys: Sequence[str], tied: tuple[str, str] | None, class_defaults: str | None) -> None: ...

def register_alias(model_type: str, original: str, class_defaults: str | None) -> None:
    """
    The definition of another architecture, with its class defaults unless others are given.
    """
