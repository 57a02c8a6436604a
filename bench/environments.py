"""Virtual environments with pinned packages: those of the peers, and the one that times files."""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import common


def cache_folder():
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "onnxport"


def with_diffusers(python):
    """Command that starts an interpreter of ours with diffusers, from the packages that the tests of Optimum have."""
    root = common.HERE.parent
    subprocess.run([root / "tools" / "setup.sh", "optimum"], check=True)
    requirements = root / "tests" / "clients" / "optimum" / "requirements.txt"
    packages = cache_folder() / f"optimum-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    return ["env", f"PYTHONPATH={packages}", python]


def environment(name):
    """The interpreter of a virtual environment with <name>-requirements.txt; made once, kept in the cache folder."""
    requirements = common.HERE / f"{name}-requirements.txt"
    cache = cache_folder()
    folder = cache / f"{name}-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    python, stamp = folder / "bin" / "python", folder / "complete"
    if stamp.exists():
        return python
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            print(f"[bench] pip: {requirements.name}, into {folder}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            for command in (
                [sys.executable, "-m", "venv", folder],
                [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir",
                 "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", requirements],
            ):
                result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if result.returncode:
                    raise common.Failed("\n".join(["cannot make the environment:", *result.stdout.splitlines()[-10:]]))
            stamp.touch()
    return python
