"""Small models for the quantizers, with the inputs that they take."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


class Model:
    """Collects nodes and weights. Weights are made from their names, so that they are the same on every run."""

    def __init__(self):
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []

    def weight(self, name, *shape, scale=1.0):
        values = np.random.default_rng([ord(c) for c in name]).standard_normal(shape) * scale
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def node(self, op_type, inputs, output, name=None, **attributes):
        name = f"/{output}/{op_type}" if name is None else name
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=name, **attributes))
        return output

    def input(self, name, type, *shape):
        self.inputs.append(helper.make_tensor_value_info(name, type, shape))
        return name

    def output(self, name, *shape):
        self.outputs.append(helper.make_tensor_value_info(name, FLOAT, shape))

    def graph(self, name="main"):
        return helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.weights)

    def model(self, opset=17, ir_version=8, contrib=False):
        opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid("com.microsoft", 1)] if contrib else [])
        return helper.make_model(self.graph(), opset_imports=opsets, ir_version=ir_version)


def matmul():
    """Named and unnamed nodes, equal scales, a weight on the left, a product of activations."""
    m = Model()
    x = m.input("x", FLOAT, "n", 6, 48)
    a = m.node("MatMul", [x, m.weight("a.weight", 48, 40)], "a")
    b = m.node("MatMul", [x, m.weight("b.weight", 48, 40)], "b", name="")
    c = m.node("Mul", [m.node("MatMul", [x, "b.weight"], "c", name=""), "one"], "c1")
    m.weights.append(numpy_helper.from_array(np.array(1.5, np.float32), "one"))
    t = m.node("Transpose", [b], "t", perm=[0, 2, 1])
    d = m.node("Softmax", [m.node("MatMul", [a, t], "scores")], "d")
    left = m.node("MatMul", [m.weight("left.weight", 5, 6), m.node("MatMul", [d, c], "e")], "left")
    m.output(m.node("MatMul", [left, m.weight("last.weight", 40, 8)], "y"), "n", 5, 8)
    return m.model(), {"x": (2, 6, 48)}


def gemm():
    """With and without transposed B and a bias; factors; weights that several nodes read; B of an activation."""
    m = Model()
    x = m.input("x", FLOAT, "n", 64)
    a = m.node("Gemm", [x, m.weight("a.weight", 48, 64), m.weight("a.bias", 48)], "a", transB=1)
    b = m.node("Gemm", [x, m.weight("b.weight", 64, 48), m.weight("b.bias", 48)], "b")
    c = m.node("Gemm", [x, m.weight("c.weight", 48, 64)], "c", transB=1, name="")
    d = m.node("Gemm", [x, m.weight("d.weight", 64, 48), "b.bias"], "d", alpha=0.5)
    m.node("Add", [m.node("Add", [a, b], "ab"), m.node("Add", [c, d], "cd")], "sum")
    e = m.node("Gemm", ["sum", "ab"], "e", transB=1)
    m.output(m.node("Relu", [e], "y"), "n", "n")
    return m.model(), {"x": (3, 64)}


def embeddings():
    """Tables that are also read otherwise: as the output layer, by Add, twice."""
    m = Model()
    ids = m.input("ids", INT64, "n", "s")
    words = m.node("Gather", [m.weight("words", 30, 32), ids], "words_of")
    types = m.node("Gather", [m.weight("types", 2, 32), "zero"], "types_of")
    m.weights.append(numpy_helper.from_array(np.array(0, np.int64), "zero"))
    again = m.node("Gather", ["types", "zero"], "types_again")
    x = m.node("Add", [m.node("Add", [words, types], "e0"), m.node("Add", [again, m.weight("bias", 32)], "e1")], "e")
    table = m.node("Transpose", ["words"], "words_t", perm=[1, 0])
    m.output(m.node("MatMul", [x, table], "logits"), "n", "s", 30)
    m.output(words, "n", "s", 32)
    m.node("ReduceMean", ["words"], "mean", keepdims=0)
    m.output("mean")
    return m.model(), {"ids": (2, 5)}


def convolutions():
    """With and without bias, one and two spatial axes, groups."""
    m = Model()
    x = m.input("x", FLOAT, "n", 3, 8, 8)
    a = m.node("Conv", [x, m.weight("a.weight", 16, 3, 3, 3), m.weight("a.bias", 16)], "a", pads=[1, 1, 1, 1])
    b = m.node("Conv", [a, m.weight("b.weight", 16, 1, 3, 3)], "b", group=16, strides=[2, 2])
    m.weights.append(numpy_helper.from_array(np.array([0, 16, -1], np.int64), "rows"))
    c = m.node("Reshape", [b, "rows"], "c")
    d = m.node("Conv", [c, m.weight("d.weight", 4, 16, 3), m.weight("d.bias", 4)], "d", name="")
    m.output(d, "n", 4, "k")
    return m.model(), {"x": (2, 3, 8, 8)}


def branches():
    """If with weights outside and inside of its graphs, and a Gemm in one of them."""
    m, yes, no = Model(), Model(), Model()
    flag, x = m.input("flag", BOOL, 1), m.input("x", FLOAT, "n", 32)
    y = m.node("Relu", [m.node("MatMul", [x, m.weight("outer.weight", 32, 32)], "h0")], "h")
    yes.node("MatMul", [y, "outer.weight"], "yes0")
    yes.node("MatMul", ["yes0", yes.weight("inner.weight", 32, 16)], "yes1")
    yes.output("yes1", "n", 16)
    no.node("Gemm", [x, m.weight("gemm.weight", 16, 32), no.weight("no.bias", 16)], "no0", transB=1)
    no.node("MatMul", ["no0", no.weight("inner.weight2", 16, 16)], "no1")
    no.output("no1", "n", 16)
    m.node("If", [flag], "z", then_branch=yes.graph("yes"), else_branch=no.graph("no"))
    m.output("z", "n", 16)
    return m.model(), {"flag": (1,), "x": (3, 32)}


def ranges():
    """Weights of zeros, of one sign, with an outlier, and tiny ones."""
    m = Model()
    x = m.input("x", FLOAT, "n", 32)
    parts = []
    for name, change in {"zeros": lambda w: w * 0, "positive": np.abs, "negative": lambda w: -np.abs(w),
                         "outlier": lambda w: w + 100 * (np.arange(w.size).reshape(w.shape) == 7),
                         "tiny": lambda w: w * np.float32(1e-42), "column": lambda w: w * (np.arange(w.shape[1]) > 3)}.items():
        values = np.random.default_rng([ord(c) for c in name]).standard_normal((32, 24)).astype(np.float32)
        m.weights.append(numpy_helper.from_array(change(values).astype(np.float32), name))
        parts.append(m.node("MatMul", [x, name], f"{name}_out"))
    m.output(m.node("Concat", parts, "y", axis=1), "n", 24 * len(parts))
    return m.model(), {"x": (3, 32)}


def lstm():
    m = Model()
    x = m.input("x", FLOAT, 5, 2, 12)
    inputs = [x, m.weight("W", 2, 32, 12), m.weight("R", 2, 32, 8), m.weight("B", 2, 64)]
    m.node("LSTM", inputs, "y", hidden_size=8, direction="bidirectional")
    m.output("y", 5, 2, 2, 8)
    return m.model(), {"x": (5, 2, 12)}


def contrib():
    """Fused attention and embeddings of ONNX Runtime."""
    m = Model()
    ids, mask = m.input("ids", TensorProto.INT32, 2, 5), m.input("mask", TensorProto.INT32, 2, 5)
    tables = [m.weight("words", 30, 32), m.weight("positions", 8, 32), m.weight("types", 2, 32)]
    norm = [m.weight("gamma", 32), m.weight("beta", 32)]
    m.nodes.append(helper.make_node("EmbedLayerNormalization", [ids, "", *tables[:2], "", *norm, mask], ["e", "lengths"],
                                    name="embed", domain="com.microsoft"))
    projections = ["e", m.weight("qkv.weight", 32, 96, scale=0.3), m.weight("qkv.bias", 96), "lengths"]
    m.node("Attention", projections, "a", domain="com.microsoft", num_heads=4)
    m.weights = [w for w in m.weights if w.name != "types"]
    m.output("a", 2, 5, 32)
    return m.model(contrib=True), {"ids": (2, 5), "mask": (2, 5)}


def constants():
    """A large constant of a node, a weight that is an input of the graph too, and an unused one."""
    m = Model()
    x = m.input("x", FLOAT, "n", 32)
    values = np.random.default_rng(5).standard_normal((32, 32)).astype(np.float32)
    m.nodes.append(helper.make_node("Constant", [], ["k"], name="k", value=numpy_helper.from_array(values, "k")))
    m.input(m.weight("w", 32, 32), FLOAT, 32, 32)
    m.weight("unused", 40, 40)
    m.output(m.node("Add", [m.node("MatMul", [x, "k"], "xk"), m.node("MatMul", [x, "w"], "xw")], "y"), "n", 32)
    return m.model(opset=13, ir_version=7), {"x": (3, 32)}


def shared():
    """A table that a Gather and two Gemm read, the latter transposed, one of them in a branch."""
    m, yes, no = Model(), Model(), Model()
    words = m.node("Gather", [m.weight("table", 30, 24), m.input("ids", INT64, 4)], "words")
    m.weights.append(numpy_helper.from_array(np.array(True), "flag"))
    for branch, name in ((yes, "yes"), (no, "no")):
        branch.node("Gemm", [words, "table"], name, transB=1)
        branch.output(name, 4, 30)
    m.node("If", ["flag"], "a", then_branch=yes.graph("yes"), else_branch=no.graph("no"))
    m.output(m.node("Add", ["a", m.node("Gemm", [words, "table"], "b", transB=1)], "y"), 4, 30)
    return m.model(), {"ids": (4,)}


def batched():
    """A weight with three dimensions."""
    m = Model()
    x = m.input("x", FLOAT, 2, 5, 32)
    m.output(m.node("MatMul", [x, m.weight("w", 2, 32, 16)], "y"), 2, 5, 16)
    return m.model(), {"x": (2, 5, 32)}


def after_contrib():
    """A value whose type the official shape inference does not know."""
    m = Model()
    x = m.input("x", FLOAT, 5, 32)
    h = m.node("FastGelu", [x], "h", domain="com.microsoft")
    m.output(m.node("MatMul", [h, m.weight("w", 32, 16)], "y"), 5, 16)
    return m.model(contrib=True), {"x": (5, 32)}


def hollow(rows, columns):
    """A weight in the file `weights`."""
    m = Model()
    tensor = onnx.TensorProto(name="w", data_type=FLOAT, dims=[rows, columns], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights")
    m.weights.append(tensor)
    m.output(m.node("MatMul", [m.input("x", FLOAT, 1, rows), "w"], "y"), 1, columns)
    return m.model(), {}


MODELS = {function.__name__: function for function in
          (matmul, gemm, embeddings, convolutions, branches, ranges, lstm, contrib, constants)}


def save(model, path, form):
    """`form`: raw (as numpy_helper stores weights), fields (float_data), or external."""
    if form == "fields":
        for tensor in model.graph.initializer:
            if tensor.data_type == FLOAT:
                values = numpy_helper.to_array(tensor).ravel()
                tensor.ClearField("raw_data")
                tensor.float_data.extend(values.tolist())
    onnx.save(model, path, save_as_external_data=form == "external", location=path.name + "_data", size_threshold=0)
