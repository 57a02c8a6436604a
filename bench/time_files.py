"""Times ONNX files against each other in one process. Needs numpy and onnxruntime.

Reads a plan from standard input, as JSON:
  {"files": {LABEL: PATH}, "threads": 1, "rounds": 16,
   "jobs": [{"name": "decode", "batch": 1, "tokens": 1, "past": 512}]}
Prints one JSON object per job: seconds of every round for each label, and the largest difference of an output to that
of the last file, relative to the output's largest value."""
import json
import sys
import time

import numpy
import onnxruntime

TYPES = {"tensor(float)": numpy.float32, "tensor(float16)": numpy.float16}


def inputs_of(session, job):
    """Values for the inputs; the same for every file, as long as the inputs have the same names and shapes."""
    batch, tokens, past = job["batch"], job["tokens"], job["past"]
    values = {}
    for node in session.get_inputs():
        random = numpy.random.default_rng(list(node.name.encode()))
        if node.name == "input_ids":
            value = random.integers(0, 1000, (batch, tokens))
        elif node.name == "attention_mask":
            value = numpy.ones((batch, past + tokens), numpy.int64)
        elif node.name == "token_type_ids":
            value = numpy.zeros((batch, tokens), numpy.int64)
        elif node.name == "position_ids":
            value = numpy.tile(numpy.arange(past, past + tokens), (batch, 1))
        elif node.name.startswith("past_key_values."):
            shape = (batch, node.shape[1], past, node.shape[3])
            value = random.standard_normal(shape).astype(TYPES[node.type])
        else:
            sys.exit(f"no values known for input '{node.name}'")
        values[node.name] = value
    return values


def difference(outputs, expected):
    if outputs.keys() != expected.keys():
        return float("inf")
    worst = 0.0
    for name, value in outputs.items():
        if value.shape != expected[name].shape:
            return float("inf")
        scale = max(1.0, float(numpy.abs(expected[name]).max()))
        worst = max(worst, float(numpy.abs(value - expected[name]).max()) / scale)
    return worst if worst == worst else float("inf")


def main():
    plan = json.load(sys.stdin)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = plan["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    sessions = {label: onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
                for label, path in plan["files"].items()}
    labels = list(sessions)
    for job in plan["jobs"]:
        inputs = {label: inputs_of(session, job) for label, session in sessions.items()}
        expected, differences = None, {}
        for label in reversed(labels):  # warms up, too
            session = sessions[label]
            outputs = dict(zip([node.name for node in session.get_outputs()], session.run(None, inputs[label])))
            expected = expected or outputs
            differences[label] = difference(outputs, expected)
        seconds = {label: [] for label in labels}
        for turn in range(plan["rounds"]):
            shift = turn // 2 % len(labels)
            order = labels[shift:] + labels[:shift]
            for label in reversed(order) if turn % 2 else order:
                start = time.perf_counter()
                sessions[label].run(None, inputs[label])
                seconds[label].append(time.perf_counter() - start)
        print(json.dumps({"name": job["name"], "seconds": seconds, "difference": differences}), flush=True)


if __name__ == "__main__":
    main()
