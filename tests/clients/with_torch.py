"""The start of tests that need torch: several GB, which `./dev test` leaves out. Import it before all packages.

They run in the environment of `bench/run --peer`, or in that of another interpreter which has the packages."""
import os
import subprocess
import sys
from pathlib import Path

import common


def arguments():
    """The paths on the command line: PROGRAM CACHE WORK."""
    if len(sys.argv) not in (4, 5):
        sys.exit(f"usage: python3 {Path(sys.argv[0]).name} PROGRAM CACHE WORK [PYTHON]")
    return [Path(argument).resolve() for argument in sys.argv[1:4]]


def continue_with(folder):
    """Goes on in the environment, with the packages of the folder's requirements.txt."""
    sys.dont_write_bytecode = True
    cache = Path(sys.argv[2]).resolve()
    if len(sys.argv) == 4:
        python = subprocess.check_output([sys.executable, "-c", "import environments as e; print(e.environment('peer'))"],
                                         cwd=common.ROOT / "bench", text=True).strip()
        packages = cache / common.pinned(folder)
        if not packages.is_dir():
            sys.exit(f"{packages} is missing: run tools/setup.sh {folder.name}")
        sys.path.append(str(packages))
    else:
        python = os.path.abspath(sys.argv[4])
    if sys.executable != python:
        os.execv(python, [python, *sys.argv])
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    sys.path.append(str(common.ROOT / "tools"))
