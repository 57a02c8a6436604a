"""`main_export`, and `python -m onnxport.exporters.onnx`: the command `onnxport export onnx`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...errors import ExportError
from ...native import native
from ...progress import progress_bar
from ...reports import ExportReport
from ..live import is_live
from ..sources import HubOptions, opened_folder
from .custom import custom_configs
from .live_outputs import record_export
from .options import config_values, optimization, shape_options, without_effect

__all__ = ["main", "main_export"]


def main_export(
    model_name_or_path: Any,
    output: str | Path,
    task: str = "auto",
    opset: int | None = None,
    device: str = "cpu",
    dtype: str | None = None,
    optimize: str | None = None,
    monolith: bool = False,
    no_post_process: bool = False,
    framework: str | None = "pt",
    atol: float | None = None,
    pad_token_id: int | None = None,
    subfolder: str = "",
    revision: str | None = "main",
    force_download: bool = False,
    local_files_only: bool = False,
    trust_remote_code: bool = False,
    cache_dir: str | Path | None = None,
    token: bool | str | None = None,
    do_validation: bool = True,
    model_kwargs: dict[str, Any] | None = None,
    custom_onnx_configs: Mapping[str, Any] | None = None,
    fn_get_submodels: Callable[..., Any] | None = None,
    use_subprocess: bool = False,
    _variant: str = "default",
    library_name: str | None = None,
    no_dynamic_axes: bool = False,
    do_constant_folding: bool = True,
    slim: bool = False,
    *,
    layout: str | None = None,
    quantize: str | None = None,
    variants: list[str] | None = None,
    adapters: tuple[str | Path, ...] = (),
    interface_options: tuple[str, ...] = (),
    external_data: str | None = None,
    ignore_unexpected: bool = False,
    allow_non_finite: bool = False,
    int_dtype: str = "int64",
    reference: str | Path | None = None,
    progress: bool | None = None,
    on_notice: Callable[[str], None] | None = None,
    **kwargs_shapes: int,
) -> ExportReport:
    """Exports a model to a folder of ONNX files, and validates them.

    The arguments are those of `optimum.exporters.onnx.main_export`, followed by some of the command line (see
    docs/cli.md). Nothing is traced, so some have no effect, and a warning says so.

    Args:
        model_name_or_path: A checkpoint folder, the name of a Hub repository, a live model, or a handle.
        output: The folder to write to.
        task: The task; "auto": inferred.
        opset: The ONNX opset; by default that of the architecture, usually 18.
        dtype: "fp32" (default), "fp16" or "bf16".
        optimize: "O1" to "O4".
        monolith: One file for models that are split by default.
        no_post_process: Do not merge the decoders with and without past.
        atol: Tolerance of validation.
        custom_onnx_configs: Configurations by the stem of the file; they may change names, inputs and outputs.
        fn_get_submodels: A function of the live model that gives the model of each of these files.
        progress: Whether to draw progress bars; by default on terminals and in notebooks.
        on_notice: Called with lines for the user.

    Returns:
        The report. Validation that fails raises no exception here: see `ExportReport.passed`.

    Raises:
        ExportError: With the text that the program would print.
    """
    without_effect(
        device=(device, "cpu", "exporting runs no model on a device"),
        trust_remote_code=(trust_remote_code, False, "no code of the repository is run"),
        do_constant_folding=(do_constant_folding, True, "only arithmetic on weights is folded"),
        use_subprocess=(use_subprocess, False, "ONNX Runtime runs in this process"),
    )
    if framework not in (None, "pt"):
        raise ExportError(f"framework '{framework}': expected pt", "invalid_argument")
    if slim:
        raise ExportError(
            "--slim is not built yet: graphs have no redundant nodes anyway; leave the flag out",
            "unsupported",
        )
    if fn_get_submodels is not None and not custom_onnx_configs:
        why = "the components come from the architecture; custom_onnx_configs names other ones"
        without_effect(fn_get_submodels=(True, False, why))
    values, from_kwargs = config_values(model_kwargs, pad_token_id)
    hub = HubOptions(
        None if revision == "main" else revision,
        subfolder,
        token,
        cache_dir,
        local_files_only,
        force_download,
    )
    if fn_get_submodels is not None and custom_onnx_configs:
        from .submodels import export_submodels

        for name, value in {
            "optimize": optimize, "monolith": monolith, "layout": layout, "quantize": quantize, "variants": variants,
            "adapters": adapters, "external_data": external_data, "reference": reference, "model_kwargs": model_kwargs,
        }.items():  # fmt: skip
            if value:
                raise ExportError(f"fn_get_submodels does not go with {name}={value!r}", "unsupported")
        return export_submodels(
            model_name_or_path, Path(output), fn_get_submodels, custom_onnx_configs, task=task, opset=opset, atol=atol,
            validate=do_validation, hub=hub, dtype=dtype, no_dynamic_axes=no_dynamic_axes, progress=progress,
            input_shapes=shape_options(kwargs_shapes),
        )  # fmt: skip
    options: dict[str, Any] = {
        "output": Path(output),
        "task": task,
        "opset": opset,
        "atol": atol,
        "split": "monolith" if monolith else "apart" if no_post_process else None,
        "validate": do_validation,
        "variant": _variant,
        "dynamic_axes": not no_dynamic_axes,
        "config_values": values,
        "interface_options": [*interface_options, *from_kwargs],
        "layout": layout,
        "quantize": quantize,
        "variants": variants,
        "external_data": external_data,
        "ignore_unexpected": ignore_unexpected,
        "allow_non_finite": allow_non_finite,
        "int_dtype": int_dtype,
        "reference": Path(reference) if reference is not None else None,
        "shapes": shape_options(kwargs_shapes) or None,
        "on_notice": on_notice,
        **optimization(optimize, dtype or "fp32"),
    }
    with (
        opened_folder(model_name_or_path, hub) as handle,
        progress_bar("writing weights", progress) as listen,
    ):
        options |= {
            "model": handle.folder,
            "adapters": [*handle.adapters, *map(Path, adapters)],
            "library": library_name or handle.library or None,
            "pipeline_tag": handle.pipeline_tag or None,
            "on_progress": listen,
        }
        configs = custom_configs(custom_onnx_configs, model_name_or_path)
        with tempfile.TemporaryDirectory(prefix="onnxport-") as folder:
            recorded = Path(folder) / "the live model"
            wanted = do_validation and reference is None and not configs and is_live(model_name_or_path)
            if wanted and record_export(model_name_or_path, options, recorded):
                options["reference"] = recorded
            return ExportReport.from_json(*native.main_export(options, configs))


def main() -> int:
    """Runs `onnxport export onnx` with the arguments of the process."""
    from ...cli import main as run

    return run(["export", "onnx", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
