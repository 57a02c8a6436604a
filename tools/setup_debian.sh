# The part of setup.sh that fetches packages of Debian without installing them.
# shellcheck shell=bash disable=SC2154

# apt_aside KIND OPTION...: makes the array `aside`, an apt-get with sources and lists of its own in $scratch/apt. KIND is
# that of its sources: deb or deb-src.
apt_aside() {
  local kind=$1 folder=$scratch/apt
  shift
  rm -rf "$folder"
  mkdir -p "$folder/lists/partial" "$folder/archives/partial"
  : >"$folder/status"
  apt-get indextargets --format "$kind \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' 'Origin: Debian' |
    LC_ALL=C sort -u >"$folder/sources.list"
  aside=(apt-get -qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::lists=$folder/lists" -o "Dir::State::status=$folder/status" -o "Dir::Cache=$folder"
    -o APT::Sandbox::User= "$@")
}

# The sources of Debian's protobuf, of which a wheel needs position-independent code.
protobuf_source() {
  local folder=protobuf-$protobuf_version
  [ -d "$cache/$folder" ] && return
  make_scratch
  [ -d "$cache/$folder" ] && return
  say "apt: the sources of protobuf $protobuf_version"
  mkdir -p "$scratch/out"
  apt_aside deb-src
  (cd "$scratch/apt" && "${aside[@]}" update && "${aside[@]}" source --download-only protobuf) </dev/null >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "apt-get source protobuf failed"; }
  verify "$scratch/apt/protobuf_$protobuf_version.orig.tar.gz" "$protobuf_sha256"
  tar -xzf "$scratch/apt/protobuf_$protobuf_version.orig.tar.gz" -C "$scratch/out" "$folder/src" "$folder/LICENSE"
  mv -T "$scratch/out/$folder" "$cache/$folder"
}

# arm64_root FOLDER RELEASE PACKAGE...: packages of a release of Debian for arm64 in $cache/FOLDER, where those of the
# machine do not see them.
arm64_root() {
  local folder=$1 release=$2 link to
  shift 2
  [ -d "$cache/$folder" ] && return
  make_scratch
  [ -d "$cache/$folder" ] && return
  say "apt: packages of $release for arm64"
  apt_aside 'deb [arch=arm64]' -o APT::Architecture=arm64 -o APT::Architectures::=arm64
  sed -i -E "s/ bookworm/ $release/" "$scratch/apt/sources.list"
  mkdir -p "$scratch/out"
  (cd "$scratch/apt" && "${aside[@]}" update && "${aside[@]}" download "$@" &&
    find . -maxdepth 1 -name '*.deb' -print0 | xargs -0 -I {} dpkg -x {} "$scratch/out") </dev/null >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "apt-get download for arm64 failed"; }
  [ -e "$scratch/out/lib" ] || ln -s usr/lib "$scratch/out/lib"
  find "$scratch/out" -name 'libpython*.a' -delete  # large, and for programs that embed Python
  find "$scratch/out" -type l -lname '/*' -printf '%P %l\n' | while read -r link to; do  # not to files of the machine
    ln -sfr "$scratch/out$to" "$scratch/out/$link"
  done
  # A program in qemu reads /proc/cpuinfo of the machine unless there is one here, and ONNX Runtime dies of it.
  mkdir "$scratch/out/proc"
  printf '%s\n' 'processor: 0' 'Features: fp asimd' 'CPU implementer: 0x41' 'CPU architecture: 8' 'CPU variant: 0x3' \
    'CPU part: 0xd0c' 'CPU revision: 1' >"$scratch/out/proc/cpuinfo"
  mv -T "$scratch/out" "$cache/$folder"
}

# The libraries to build with; and for qemu the C library and a Python, of two releases: for the wheel of 3.11, and for that
# of 3.12 and newer.
arm64_roots() {
  arm64_root aarch64-root-1 bookworm libc6 libgcc-s1 libstdc++6 libprotobuf-dev libprotobuf-lite32 zlib1g-dev zlib1g \
    libcurl4-openssl-dev libpython3.11-dev python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1 libffi8 \
    libssl3 libbz2-1.0 liblzma5
  arm64_root aarch64-python-1 trixie libc6 libgcc-s1 libstdc++6 zlib1g libzstd1 python3.13-minimal libpython3.13-minimal \
    libpython3.13-stdlib libexpat1 libffi8 libssl3t64 libbz2-1.0 liblzma5
}
