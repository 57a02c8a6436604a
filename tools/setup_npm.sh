# The part of setup.sh that fetches from the Node registry; setup.sh has the versions and the hashes.
# shellcheck shell=bash disable=SC2154

# npm_archive NAME VERSION SHA256: an archive of the Node registry, as $scratch/npm.tgz
npm_archive() {
  command -v npm >/dev/null || apt_install npm
  say "npm: $1 $2"
  rm -rf "$scratch/npm"
  mkdir -p "$scratch/npm"
  (cd "$scratch/npm" && npm pack --silent --cache "$scratch/npm-cache" "$1@$2") \
    </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "npm pack $1@$2 failed"; }
  mv "$scratch"/npm/*.tgz "$scratch/npm.tgz"
  rm -rf "$scratch/npm" "$scratch/npm-cache"
  verify "$scratch/npm.tgz" "$3"
}

# npm_files NAME VERSION SHA256 FOLDER FILE...: files of an archive of the Node registry, and its licence, in
# $cache/FOLDER
npm_files() {
  local name=$1 version=$2 sha256=$3 folder=$4 file files=(package/LICENSE)
  shift 4
  [ -d "$cache/$folder" ] && return
  make_scratch
  [ -d "$cache/$folder" ] && return
  npm_archive "$name" "$version" "$sha256"
  for file in "$@"; do files+=("package/$file"); done
  mkdir -p "$scratch/out"
  tar -xzf "$scratch/npm.tgz" -C "$scratch/out" --strip-components=1 "${files[@]}"
  mv -T "$scratch/out" "$cache/$folder"
}

# The libraries of the page of `onnxport report`: templates, the layout of its picture, and that of its map of bytes.
report_libraries() {
  npm_files htm "$htm_version" "$htm_sha256" "htm-$htm_version" preact/standalone.umd.js
  npm_files preact "$preact_version" "$preact_sha256" "preact-$preact_version"  # inside of htm: only its licence
  npm_files @dagrejs/dagre "$dagre_version" "$dagre_sha256" "dagre-$dagre_version" dist/dagre.min.js
  npm_files d3-hierarchy "$d3_hierarchy_version" "$d3_hierarchy_sha256" "d3-hierarchy-$d3_hierarchy_version" \
    dist/d3-hierarchy.min.js
}

# Microsoft's C and C++ headers of ONNX Runtime; the wheel has none.
ort_headers() {
  local folder=onnxruntime-headers-$ort_headers_version name=com.github.asus4.onnxruntime
  local inside='package/Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers'
  [ -d "$cache/$folder" ] && return
  make_scratch
  [ -d "$cache/$folder" ] && return
  npm_archive "$name" "$ort_headers_version" "$ort_headers_sha256"
  mkdir -p "$scratch/npm" "$scratch/out/include"
  tar -xzf "$scratch/npm.tgz" -C "$scratch/npm" "$inside" package/LICENSE
  mv "$scratch/npm/$inside"/*.h "$scratch/out/include/"
  mv "$scratch/npm/package/LICENSE" "$scratch/out/"
  rm -rf "$scratch/npm"
  mv -T "$scratch/out" "$cache/$folder"
}

# transformers.js, a client that the tests let read exported files, with all that it depends on. The lock file has the
# hashes that npm verifies, and its own hash names the folder.
transformers_js() {
  local from inside=onnxruntime-node/bin/napi-v6/linux/x64 folder
  from="$(dirname "${BASH_SOURCE[0]}")/../tests/clients/transformers_js"
  folder="transformers_js-$(sha256sum "$from/package-lock.json" | cut -c 1-12)"
  command -v node >/dev/null || apt_install nodejs
  [ -d "$cache/$folder" ] && return
  make_scratch
  [ -d "$cache/$folder" ] && return
  command -v npm >/dev/null || apt_install npm
  say "npm: the packages of tests/clients/transformers_js"
  mkdir -p "$scratch/out"
  cp "$from/package.json" "$from/package-lock.json" "$scratch/out/"
  # No scripts: that of onnxruntime-node downloads libraries for GPUs from elsewhere.
  (cd "$scratch/out" && npm ci --ignore-scripts --no-audit --no-fund --cache "$scratch/npm-cache") \
    </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "npm ci in tests/clients/transformers_js failed"; }
  # Four fifths of the bytes are for other platforms and for other builds. The client has onnxruntime-web's JavaScript
  # in its own files, but not this WebAssembly.
  (cd "$scratch/out/node_modules" && mv "$inside" onnxruntime-x64 && rm -rf onnxruntime-node/bin &&
    mkdir -p "$(dirname "$inside")" && mv onnxruntime-x64 "$inside" &&
    find onnxruntime-web -type f -not -name 'ort-wasm-simd-threaded.asyncify.*' -not -name package.json -delete)
  rm -rf "$scratch/npm-cache"
  mv -T "$scratch/out" "$cache/$folder"
}
