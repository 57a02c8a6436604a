"""Architectures in Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SOURCES
from onnxport import ExportError, TasksManager, export, nn, op, validate_model_outputs
from onnxport.exporters.onnx import BertOnnxConfig, TextEncoderOnnxConfig
from small import BERT, NumpyModel, bert_weights, write_checkpoint

EXAMPLE = SOURCES / "python" / "examples" / "my_bert.py"


def test_the_guides_example_gives_the_same_bytes(bert_folder: Path, tmp_path: Path) -> None:
    script = f"""
import runpy, time
from pathlib import Path
from onnxport import TasksManager, export
def run(name):
    times = []
    for _ in range(5):
        config = TasksManager.get_exporter_config_constructor("onnx", model_type="bert")({BERT!r})
        start = time.process_time()
        export({str(bert_folder)!r}, config, Path({str(tmp_path)!r}) / name)
        times.append(time.process_time() - start)
    return min(times)
built_in = run("built_in.onnx")
runpy.run_path({str(EXAMPLE)!r})
in_python = run("python.onnx")
print(in_python / built_in)
"""
    ratio = float(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    )
    assert (tmp_path / "built_in.onnx").read_bytes() == (tmp_path / "python.onnx").read_bytes()
    assert ratio < 2


def test_plugin(bert_folder: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "onnxport",
        "export",
        "onnx",
        "--plugin",
        str(EXAMPLE),
        "--model",
        str(bert_folder),
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.onnx").exists()
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0")
    command[command.index("--plugin") + 1] = str(broken)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "broken.py: ZeroDivisionError" in done.stderr


class Tiny:
    """A model of its own: embeddings, a layer, and a norm."""

    def __init__(self, s: nn.Scope, width: int, vocab_size: int) -> None:
        self.embeddings = nn.Embedding(s / "embeddings", vocab_size, width)
        self.dense = nn.Linear(s / "dense", width, width)
        self.norm = nn.LayerNorm(s / "norm", width, 1e-5)

    def __call__(self, ids: nn.Value, mask: nn.Value) -> nn.Value:
        hidden = self.embeddings(ids)
        hidden = self.norm(hidden + op.gelu(self.dense(hidden)))
        return hidden * op.unsqueeze(op.cast(mask, hidden.dtype), -1)


def test_a_model_of_its_own(tmp_path: Path) -> None:
    register = TasksManager.create_register("onnx")

    @register("tiny_in_python", "feature-extraction")
    class TinyOnnxConfig(TextEncoderOnnxConfig):
        @staticmethod
        def forward(inputs: nn.Inputs, model: nn.Model, component: nn.Component) -> dict[str, nn.Value]:
            c = model.config
            tiny = Tiny(model.scope(), c.integer("hidden_size"), c.integer("vocab_size"))
            return {"last_hidden_state": tiny(inputs["input_ids"], inputs["attention_mask"])}

    values = {"model_type": "tiny_in_python", "hidden_size": 16, "vocab_size": 60}
    all_weights = bert_weights(BERT)
    weights = {
        "embeddings.weight": all_weights["embeddings.word_embeddings.weight"],
        "dense.weight": all_weights["pooler.dense.weight"],
        "dense.bias": all_weights["pooler.dense.bias"],
        "norm.weight": all_weights["embeddings.LayerNorm.weight"],
        "norm.bias": all_weights["embeddings.LayerNorm.bias"],
    }
    model = NumpyModel(values, weights)
    config = TasksManager.get_exporter_config_constructor("onnx", model)(model.config)
    assert isinstance(config, TinyOnnxConfig)
    _, outputs = export(model, config, tmp_path / "tiny.onnx")
    assert validate_model_outputs(config, model, tmp_path / "tiny.onnx", outputs).passed
    with pytest.raises(ExportError, match="registered already"):
        TasksManager.register("tiny_in_python", TinyOnnxConfig, ["feature-extraction"])


def test_errors_of_definitions(bert: NumpyModel, tmp_path: Path) -> None:
    def register(name: str, forward: object) -> TextEncoderOnnxConfig:
        config_class = type("Own", (TextEncoderOnnxConfig,), {"__module__": __name__})
        TasksManager.register(name, config_class, ["feature-extraction"], forward=forward)  # type: ignore[arg-type]
        return config_class({**BERT, "model_type": name})

    def run(name: str, forward: object) -> None:
        config = register(name, forward)
        export(
            NumpyModel({**BERT, "model_type": name}, dict(bert.state_dict())), config, tmp_path / "model.onnx"
        )

    with pytest.raises(ExportError, match=r"matmul.*expected") as raised:
        run(
            "wrong_shapes",
            lambda inputs, model, component: {
                "last_hidden_state": op.matmul(inputs["input_ids"], inputs["input_ids"])
            },
        )
    assert raised.value.code == "shape"
    with pytest.raises(ZeroDivisionError):
        run("broken", lambda inputs, model, component: 1 / 0)
    with pytest.raises(ExportError, match="must return a dict"):
        run("no_dict", lambda inputs, model, component: 3)
    with pytest.raises(ExportError, match="something else than a Value as 'x'"):
        run("no_value", lambda inputs, model, component: {"x": 3})


def test_a_class_without_definition() -> None:
    register = TasksManager.create_register("onnx")
    with pytest.raises(ExportError, match="'nowhere' needs a definition"):
        register("nowhere", "feature-extraction")(TextEncoderOnnxConfig)


def test_an_alias(tmp_path: Path) -> None:
    register = TasksManager.create_register("onnx")

    @register("bert_of_ours", "feature-extraction", "fill-mask")
    class OursOnnxConfig(BertOnnxConfig):
        pass

    values = {**BERT, "model_type": "bert_of_ours"}
    folder = write_checkpoint(tmp_path / "ours", values, bert_weights(BERT))
    export(str(folder), OursOnnxConfig(values), tmp_path / "model.onnx")
