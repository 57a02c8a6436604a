"""Ops of onnxport.op with a state or with experts, against plain loops of NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy
from onnxport import TasksManager, main_export, nn, op
from onnxport.exporters.onnx import TextEncoderOnnxConfig
from onnxport.exporters.onnx.live_outputs import _write_safetensors
from small import write_checkpoint

WIDTH, VOCAB, KERNEL, EXPERTS, INNER = 4, 30, 3, 2, 5
Arrays = dict[str, numpy.ndarray]

SHAPES = {
    "embeddings.weight": (VOCAB, WIDTH), "conv": (WIDTH, 1, KERNEL), "conv_bias": (WIDTH,), "decay": (WIDTH,),
    "bonus": (WIDTH,), "lstm_input": (4 * WIDTH, WIDTH), "lstm_hidden": (4 * WIDTH, WIDTH), "lstm_bias": (4 * WIDTH,),
    "gate": (EXPERTS, INNER, WIDTH), "up": (EXPERTS, INNER, WIDTH), "down": (EXPERTS, WIDTH, INNER), "scan": (2,),
    "router": (EXPERTS, WIDTH),
}  # fmt: skip


def sigmoid(x: numpy.ndarray) -> numpy.ndarray:
    return 1 / (1 + numpy.exp(-x))


def forward(inputs: nn.Inputs, model: nn.Model, component: nn.Component) -> dict[str, nn.Value]:
    """Each op on the same embeddings, side by side."""
    s = model.scope()
    x = nn.Embedding(s / "embeddings", VOCAB, WIDTH)(inputs["input_ids"])
    g = x.graph

    def weight(name: str) -> nn.Value:
        return g.weight(s.weight(name, SHAPES[name]))

    remains = op.sigmoid(x)
    conv, kept = op.causal_conv(op.transpose(x, 1, 2), weight("conv"), weight("conv_bias"), None, KERNEL - 1)
    assert [str(one) for one in kept.shape[1:]] == [str(WIDTH), str(KERNEL - 1)]
    scan, _ = op.selective_scan(x, op.softplus(op.split(x, -1, [2, 2])[0]), weight("scan"), x, x, 1)
    attention, _ = op.linear_attention(x, x, x, op.neg(op.softplus(op.split(x, -1, [2, 2])[0])), 2, 2)
    memory, hidden, cell = op.lstm(
        x, weight("lstm_input"), weight("lstm_hidden"), weight("lstm_bias"), weight("lstm_bias")
    )
    assert hidden.rank == cell.rank == 2
    flat = op.reshape(x, [-1, WIDTH])
    routing = op.softmax(op.matmul(flat, op.transpose(weight("router"), 0, 1)), -1)
    experts = op.mixture_of_experts(flat, routing, weight("gate"), weight("down"), "silu", up=weight("up"))
    means, sums = op.wkv(x, x, weight("decay"), weight("bonus"))
    assert len(sums) == 3
    image = op.unsqueeze(x, 1)
    places = op.unsqueeze(op.split(op.tanh(x), -1, [2, 2])[0], 1)
    samples = op.grid_sample(image, places, "nearest", "border", align_corners=True)
    outputs = [
        op.linear_recurrence(x, remains)[0], op.transpose(conv, 1, 2), scan, attention, memory,
        op.reshape(experts, [*x.shape[:2], WIDTH]), means, op.transpose(op.reshape(samples, [x.dim(0), 1, x.dim(1)]), 1, 2),
    ]  # fmt: skip
    return {"last_hidden_state": op.concat(outputs, -1)}


def steps(x: numpy.ndarray, w: Arrays) -> Iterator[numpy.ndarray]:
    """The same for one sentence [L, WIDTH], step by step."""
    length = len(x)
    state, rows = numpy.zeros(WIDTH), []
    for t in range(length):
        state = sigmoid(x[t]) * state + x[t]
        rows.append(state)
    yield numpy.array(rows)
    padded = numpy.concatenate([numpy.zeros((KERNEL - 1, WIDTH)), x])
    yield numpy.array(
        [(padded[t : t + KERNEL] * w["conv"][:, 0].T).sum(0) + w["conv_bias"] for t in range(length)]
    )
    time = numpy.log1p(numpy.exp(x[:, :2]))
    states, rows = numpy.zeros((2, 2, WIDTH)), []
    for t in range(length):
        for head in range(2):
            taken = time[t, head] * numpy.outer(x[t, 2 * head : 2 * head + 2], x[t])
            states[head] = numpy.exp(time[t, head] * w["scan"][head]) * states[head] + taken
        rows.append(numpy.concatenate([states[head] @ x[t] for head in range(2)]))
    yield numpy.array(rows)
    states, rows = numpy.zeros((2, 2, 2)), []
    for t in range(length):
        for head in range(2):
            own = x[t, 2 * head : 2 * head + 2]
            states[head] = numpy.exp(-time[t, head]) * states[head] + numpy.outer(own, own)
        rows.append(numpy.concatenate([x[t, 2 * head : 2 * head + 2] @ states[head] for head in range(2)]))
    yield numpy.array(rows)
    hidden, cell, rows = numpy.zeros(WIDTH), numpy.zeros(WIDTH), []
    for t in range(length):
        gates = w["lstm_input"] @ x[t] + w["lstm_hidden"] @ hidden + 2 * w["lstm_bias"]
        take, forget, candidate, give = gates.reshape(4, WIDTH)
        cell = sigmoid(forget) * cell + sigmoid(take) * numpy.tanh(candidate)
        hidden = sigmoid(give) * numpy.tanh(cell)
        rows.append(hidden)
    yield numpy.array(rows)
    routing = numpy.exp(x @ w["router"].T)
    routing /= routing.sum(-1, keepdims=True)
    results = numpy.zeros_like(x)
    for e in range(EXPERTS):
        gate = x @ w["gate"][e].T
        results += routing[:, e : e + 1] * ((gate * sigmoid(gate) * (x @ w["up"][e].T)) @ w["down"][e].T)
    yield results
    top, bottom, rows = numpy.zeros(WIDTH), numpy.zeros(WIDTH), []
    for t in range(length):
        own = numpy.exp(w["bonus"] + x[t])
        rows.append((top + own * x[t]) / (bottom + own))
        top = numpy.exp(w["decay"]) * top + numpy.exp(x[t]) * x[t]
        bottom = numpy.exp(w["decay"]) * bottom + numpy.exp(x[t])
    yield numpy.array(rows)
    column, row = ((numpy.tanh(x[:, i]) + 1) / 2 * (size - 1) for i, size in ((0, WIDTH), (1, length)))
    yield x[numpy.rint(row).astype(int), numpy.rint(column).astype(int)][:, None]


def test_ops(tmp_path: Path) -> None:
    config_class = type("OpsOnnxConfig", (TextEncoderOnnxConfig,), {"__module__": __name__})
    TasksManager.register("ops_in_python", config_class, ["feature-extraction"], forward=forward)
    random = numpy.random.default_rng(0)
    weights = {name: random.normal(0, 0.7, shape).astype("float32") for name, shape in SHAPES.items()}
    weights["scan"], weights["decay"] = -abs(weights["scan"]), -abs(weights["decay"])
    config = {"model_type": "ops_in_python", "vocab_size": VOCAB, "hidden_size": WIDTH}
    folder = write_checkpoint(tmp_path / "model", config, weights)
    ids = random.integers(0, VOCAB, (2, 6))
    exact = {name: array.astype("float64") for name, array in weights.items()}
    expected = [numpy.concatenate(list(steps(exact["embeddings.weight"][row], exact)), -1) for row in ids]
    recorded = {"in/input_ids": ids, "in/attention_mask": numpy.ones_like(ids)}
    recorded["out/last_hidden_state"] = numpy.array(expected).astype("float32")
    _write_safetensors(tmp_path / "expected", recorded)
    report = main_export(
        folder,
        tmp_path / "out",
        task="feature-extraction",
        reference=tmp_path / "expected",
        ignore_unexpected=True,
    )
    assert report.passed, report.validation.text
    assert "recorded" in report.validation.text
