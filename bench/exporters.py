"""The exporters that the benchmarks call: ours, and the peers, each in a virtual environment of its own."""
import os
import re

import common
import environments

# A peer takes nothing from the network, and its log holds its own words.
QUIET = {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "TQDM_DISABLE": "1"}
PIPELINE = "text-to-image"  # the task of pipelines


def python_of_peer(args, diffusers=False):
    """Command that starts Python with Optimum."""
    if args.peer_python:
        return [args.peer_python]
    python = environments.environment("peer")
    return environments.with_diffusers(python) if diffusers else [python]


def ours(args, checkpoint, out, task, *flags):
    return [args.program, "export", "onnx", "--model", checkpoint, out, "--task", task, "-q", *flags]


def ours_unchecked(args, checkpoint, out, task, *flags):
    return ours(args, checkpoint, out, task, "--no-validate", *flags)


def optimum(args, checkpoint, out, task, *flags):  # it always validates
    return [*python_of_peer(args, task == PIPELINE), "-m", "optimum.commands.optimum_cli", "export", "onnx", "--model",
            checkpoint, "--task", task, *flags, out]


# What torch.onnx.export makes of types that Optimum does not export: the output, and the size of the images.
WITHOUT_OPTIMUM = {"dinov3-vit-s": ("last_hidden_state", 224), "depth-anything-small": ("predicted_depth", 518)}


def torch(args, checkpoint, out, task):
    return [*python_of_peer(args), common.HERE / "export_with_torch.py", checkpoint, out,
            *map(str, WITHOUT_OPTIMUM[checkpoint.name])]


def mobius(args, checkpoint, out, task):
    python = environments.environment("mobius")
    return [python.parent / "mobius", "build", "--config", checkpoint, "--dtype", "f32", out]


def genai(args, checkpoint, out, task, precision="fp32"):
    python = environments.environment("genai")
    return [python, "-m", "onnxruntime_genai.models.builder", "-m", "local", "-i", checkpoint, "-o", out, "-p", precision,
            "-e", "cpu", "-c", out / "cache"]


def genai_int4(args, checkpoint, out, task):  # blocks of 32, accuracy level 4
    return genai(args, checkpoint, out, task, "int4")


def optimum_quantized(args, checkpoint, out, task):
    return [*python_of_peer(args), common.HERE / "quantize_with_optimum.py", checkpoint, out, task]


def call(command, log):
    """Usage of an export that must succeed; the log gets its standard error."""
    os.sync()
    return common.measured(command, log, {**os.environ, **QUIET})


def unknown_flags(program, flags):
    """Those of the flags that `export onnx` of this program does not have."""
    known = re.findall(r"[\w-]+", common.output([program, "export", "onnx", "--help"]))
    return [flag for flag in flags if flag.startswith("--") and flag not in known]
