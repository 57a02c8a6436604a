#!/usr/bin/env bash
# Runs a program for aarch64 in qemu, with the libraries that tools/setup.sh aarch64 unpacked.
#
#   tools/qemu_aarch64.sh PROGRAM [ARGUMENT...]
#
# $AARCH64_ROOT is the folder of the libraries, whose /proc/cpuinfo is that of the processor named here. With the processor
# that qemu 7.2 takes by default, ONNX Runtime 1.31.1 computes something else for a Whisper with weights of 8 bits.
set -euo pipefail
exec qemu-aarch64 -cpu neoverse-n1 -L "${AARCH64_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/onnxport/aarch64-root-1}" "$@"
