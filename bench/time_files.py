"""Times ONNX files against each other in one process. Needs numpy and onnxruntime.

Reads a plan from standard input, as JSON:
  {"labels": [LABEL], "rounds": 16, "processor_time": false, "return_memory": false,
   "jobs": [{"name": "decode", "threads": 1, "files": {LABEL: PATH}, "extents": {AXIS: EXTENT}}]}
The extents may hold those of one input, under its name: {INPUT: {AXIS: EXTENT}}.
Prints one JSON object per job: seconds of every round for each label, and the largest difference of an output to that
of the last file, relative to the output's largest value. With `return_memory`, every run frees its memory:
the files then need the memory of one run."""
import json
import sys
import time

import numpy
import onnxruntime

TYPES = {"tensor(float)": numpy.float32, "tensor(float16)": numpy.float16}
STATES = "conv", "ssm", "recurrent"  # of layers without a cache: zeros, as exporters give them other names and widths


def session_of(file, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def inputs_of(session, extents):
    """Values for the inputs; the same for every file, as long as the inputs have the same names and shapes."""
    def extent(axis):
        if isinstance(axis, int):
            return axis
        try:
            own = {**extents, **extents.get(node.name, {})}
            return int(eval(axis.replace("/", "//"), {}, own))  # a name, or a sum of names
        except NameError as error:
            sys.exit(f"input '{node.name}': {error}")

    values = {}
    for node in session.get_inputs():
        random = numpy.random.default_rng(list(node.name.encode()))
        shape = [extent(axis) for axis in node.shape]
        if node.type in TYPES and any(part in node.name for part in STATES):
            value = numpy.zeros(shape, TYPES[node.type])
        elif node.type in TYPES:
            value = random.standard_normal(shape).astype(TYPES[node.type])
        elif node.name.endswith("mask"):
            value = numpy.ones(shape, numpy.int64)
        elif node.name == "token_type_ids":
            value = numpy.zeros(shape, numpy.int64)
        elif node.name == "position_ids":
            past = extents["past_sequence_length"]
            value = numpy.tile(numpy.arange(past, past + shape[1]), (shape[0], 1))
        else:
            value = random.integers(0, 1000, shape)
        values[node.name] = value
    return values


def difference(outputs, expected):
    def compared(names):
        return {name for name in names if not any(part in name for part in STATES)}

    if compared(outputs) != compared(expected):
        return float("inf")
    worst = 0.0
    for name, value in outputs.items():
        if name not in expected:
            continue
        if value.shape != expected[name].shape or value.size > 1 and not numpy.ptp(expected[name]):
            return float("inf")  # a constant output would hide a difference
        scale = max(1.0, float(numpy.abs(expected[name]).max()))
        worst = max(worst, float(numpy.abs(value - expected[name]).max()) / scale)
    return worst if worst == worst else float("inf")


def main():
    plan = json.load(sys.stdin)
    labels = plan["labels"]
    clock = time.process_time if plan["processor_time"] else time.perf_counter
    how = onnxruntime.RunOptions()
    if plan["return_memory"]:
        how.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    loaded = None
    for job in plan["jobs"]:
        if loaded != (job["files"], job["threads"]):
            loaded, sessions = (job["files"], job["threads"]), None  # the last ones go first
            sessions = {label: session_of(job["files"][label], job["threads"]) for label in labels}
        inputs = {label: inputs_of(session, job["extents"]) for label, session in sessions.items()}
        expected, differences = None, {}
        for label in reversed(labels):  # warms up, too
            session = sessions[label]
            outputs = dict(zip([node.name for node in session.get_outputs()], session.run(None, inputs[label], how)))
            expected = expected or outputs
            differences[label] = difference(outputs, expected)
        seconds = {label: [] for label in labels}
        for turn in range(plan["rounds"]):
            shift = turn // 2 % len(labels)
            order = labels[shift:] + labels[:shift]
            for label in reversed(order) if turn % 2 else order:
                start = clock()
                sessions[label].run(None, inputs[label], how)
                seconds[label].append(clock() - start)
        print(json.dumps({"name": job["name"], "threads": job["threads"], "seconds": seconds,
                          "difference": differences}), flush=True)


if __name__ == "__main__":
    main()
