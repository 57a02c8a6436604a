"""Shared by the tests of Optimum's classes: exports of fixtures, the original models, and comparisons."""
import json
import logging
import subprocess
import unittest
import warnings

import common
import numpy as np
import optimum.exporters.onnx.model_configs  # noqa: F401  the types that Optimum exports
import torch
import transformers
import with_torch
from golden import read_safetensors, write_checkpoint
from optimum.exporters.tasks import TasksManager

PROGRAM, _, WORK = with_torch.arguments()
GOLDEN = common.ROOT / "tests" / "golden"
TOLERANCE = 1e-4  # of the largest value
WRONG_SHAPE = "Got invalid dimensions for input: past_key_values"

warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()
torch.set_num_threads(2)
torch.set_grad_enabled(False)


def write(fixture):
    """The checkpoint of a fixture such as "bert/fill-mask"."""
    folder = WORK / fixture / "checkpoint"
    write_checkpoint(GOLDEN / fixture, folder)
    return folder


def export(checkpoint, *flags):
    """The exported files of a checkpoint."""
    out = checkpoint.parent / "out"
    done = subprocess.run([PROGRAM, "export", "onnx", "-m", checkpoint, "--no-validate", *flags, out], capture_output=True,
                          text=True)
    if done.returncode:
        raise AssertionError(f"export of {checkpoint} ended with {done.returncode}:\n{done.stderr}")
    return out


def write_and_export(fixture):
    """The checkpoint of a fixture, and its exported files."""
    checkpoint = write(fixture)
    return checkpoint, export(checkpoint, "--task", expected(fixture)["task"])


def expected(fixture):
    return json.loads((GOLDEN / fixture / "expected.json").read_text())


def names_of(task):
    """The fixtures of a task, without variants, of types that are in version 4 of transformers."""
    for folder in sorted(GOLDEN.glob(f"*/{task}")):
        name = f"{folder.parent.name}/{task}"
        made = expected(name)
        if made["library"] == "transformers" and made["transformers"].startswith("4."):
            yield name


def variants_of(name, task):
    """The fixtures of a type with and without a cache, and whether they have one."""
    for folder in sorted(GOLDEN.glob(f"{name}/{task}*")):
        base, _, variant = folder.name.partition("+")
        if base in (task, f"{task}-with-past") and not variant.startswith("v5") and "monolith" not in variant:
            yield f"{name}/{folder.name}", base != task


def optimum_has(name):
    """The tasks that Optimum exports a type for."""
    types = TasksManager._SUPPORTED_MODEL_TYPE  # noqa: SLF001
    return types.get(name, types.get(name.replace("-", "_"), {})).get("onnx", {})


def inputs(fixture, file="model"):
    """The inputs of its first case."""
    tensors = read_safetensors(GOLDEN / fixture / f"{file}.0.safetensors")
    return {name[3:]: torch.from_numpy(values.copy()) for name, values in tensors.items() if name.startswith("in/")}


def original(kind, checkpoint, **options):
    """The checkpoint in torch, in float32."""
    return kind.from_pretrained(checkpoint, dtype=torch.float32, **options).eval()


class Comparison(unittest.TestCase):
    def near(self, result, reference, name):
        result, reference = (np.asarray(torch.as_tensor(values), np.float64) for values in (result, reference))
        self.assertEqual(result.shape, reference.shape, name)
        self.assertGreater(np.ptp(reference), 0, name)
        np.testing.assert_allclose(result, reference, rtol=0, atol=TOLERANCE * max(1, np.abs(reference).max()),
                                   err_msg=name)

    def same_text(self, model, reference, feed, cache, reference_cache=None, **options):
        """Both generate the same tokens from the same logits."""
        options = dict(max_new_tokens=6, return_dict_in_generate=True, output_logits=True) | feed | options
        result = model.generate(use_cache=cache, **options)
        truth = reference.generate(use_cache=cache if reference_cache is None else reference_cache, **options)
        np.testing.assert_array_equal(result.sequences, truth.sequences)
        for step, (ours, theirs) in enumerate(zip(result.logits, truth.logits, strict=True)):
            self.near(ours, theirs, f"logits {step}")
