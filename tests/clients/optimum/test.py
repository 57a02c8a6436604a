"""Optimum's classes for ONNX Runtime on exported files, against the original models in torch.

    python3 test.py PROGRAM CACHE WORK [PYTHON]      CACHE: filled by tools/setup.sh, WORK: a folder to write to,
                                                     PYTHON: an interpreter that has all packages

It needs torch: several GB, from bench/peer-requirements.txt. `./dev test` does not run it; see CONTRIBUTING.md.
ONLY in the environment is a part of the names of the tests to run."""
import os
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import with_torch  # noqa: E402

with_torch.arguments()
with_torch.continue_with(HERE)
from forward import Forward  # noqa: E402,F401
from generation import Decoders, EncoderDecoders  # noqa: E402,F401
from pipelines import Pipelines  # noqa: E402,F401

if __name__ == "__main__":
    only = os.environ.get("ONLY")
    unittest.main(argv=sys.argv[:1] + (["-k", only] if only else []), warnings="ignore")
