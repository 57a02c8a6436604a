"""Live pipelines of diffusers, and their components."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnxport import ExportError, TasksManager, main_export, onnx_export_from_model

UNET = {
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 32,
    "attention_head_dim": 4,
    "norm_num_groups": 4,
}
VAE = {
    "block_out_channels": (16, 16),
    "down_block_types": ("DownEncoderBlock2D", "DownEncoderBlock2D"),
    "up_block_types": ("UpDecoderBlock2D", "UpDecoderBlock2D"),
    "norm_num_groups": 4,
}
CLIP = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 100,
    "max_position_embeddings": 16,
}


def stable_diffusion(diffusers: Any) -> Any:
    """A tiny pipeline without a tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    return diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(**VAE),
        text_encoder=transformers.CLIPTextModel(transformers.CLIPTextConfig(**CLIP)),
        tokenizer=None,
        unet=diffusers.UNet2DConditionModel(**UNET),
        scheduler=diffusers.DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def files_in(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_pipeline_gives_the_files_of_its_folder(diffusers: Any, tmp_path: Path) -> None:
    pipeline = stable_diffusion(diffusers)
    assert TasksManager.infer_library_from_model(pipeline) == "diffusers"
    assert TasksManager.infer_task_from_model(pipeline) == "text-to-image"
    assert onnx_export_from_model(pipeline, tmp_path / "live").passed
    pipeline.save_pretrained(tmp_path / "saved")
    main_export(str(tmp_path / "saved"), tmp_path / "folder")
    live, saved = files_in(tmp_path / "live"), files_in(tmp_path / "folder")
    assert {"unet/model.onnx", "vae_decoder/model.onnx", "scheduler/scheduler_config.json"} <= live.keys()
    assert live.keys() == saved.keys()
    assert [name for name in live if name.endswith(".onnx") and live[name] != saved[name]] == []


def test_a_component_in_half_precision(diffusers: Any, tmp_path: Path) -> None:
    unet = diffusers.UNet2DConditionModel(**UNET).half()
    report = main_export(unet, tmp_path, dtype="fp16")
    assert [file.name for file in report.files if file.suffix == ".onnx"] == ["model.onnx"]


def test_changed_weights_are_in_the_file(diffusers: Any, tmp_path: Path) -> None:
    import torch

    pipeline = stable_diffusion(diffusers)
    main_export(pipeline, tmp_path / "before", do_validation=False)
    with torch.no_grad():
        pipeline.unet.conv_in.weight.mul_(2)
    main_export(pipeline, tmp_path / "after", do_validation=False)
    before, after = files_in(tmp_path / "before"), files_in(tmp_path / "after")
    assert [name for name in before if before[name] != after[name]] == ["unet/model.onnx"]


def unet_outputs(pipeline: Any, folder: Path) -> tuple[Any, Any]:
    """The outputs of the exported network and of the one in memory, for the same inputs."""
    import numpy
    import onnxruntime
    import torch

    onnx_export_from_model(pipeline, folder, do_validation=False)
    session = onnxruntime.InferenceSession(str(folder / "unet" / "model.onnx"))
    random = numpy.random.default_rng(0)
    sample = random.normal(size=(1, 4, 16, 16)).astype(numpy.float32)
    text = random.normal(size=(1, 7, 32)).astype(numpy.float32)
    feed = {"sample": sample, "timestep": numpy.array(7, numpy.float32), "encoder_hidden_states": text}
    got = session.run(None, {one.name: feed[one.name] for one in session.get_inputs()})[0]
    with torch.no_grad():
        wanted = pipeline.unet(torch.from_numpy(sample), 7, torch.from_numpy(text)).sample.numpy()
    return got, wanted


def add_two_adapters(peft: Any, unet: Any) -> None:
    """Adds two adapters that share some layers."""
    for name, layers in (("first", ["to_q", "conv1"]), ("second", ["to_q", "to_out.0"])):
        config = peft.LoraConfig(r=2, lora_alpha=3, target_modules=layers, init_lora_weights=False)
        unet.add_adapter(config, adapter_name=name)


def test_adapters_that_are_not_merged(diffusers: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    peft = pytest.importorskip("peft", reason="peft is not installed")
    import torch

    pipeline = stable_diffusion(diffusers)
    plain = unet_outputs(pipeline, tmp_path / "plain")[0]
    add_two_adapters(peft, pipeline.unet)
    words = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    pipeline.text_encoder.add_adapter(words, adapter_name="first")
    pipeline.set_adapters(["first", "second"], [0.5, 2.0])
    got, wanted = unet_outputs(pipeline, tmp_path / "both")
    assert abs(got - wanted).max() < 1e-4 * abs(wanted).max()
    assert abs(got - plain).max() > 1e-2
    assert (tmp_path / "both/text_encoder/model.onnx").read_bytes() != (
        tmp_path / "plain/text_encoder/model.onnx"
    ).read_bytes()
    attention = pipeline.unet.down_blocks[1].attentions[0].transformer_blocks[0].attn1
    before = attention.to_q.base_layer.weight.clone()
    pipeline.fuse_lora(adapter_names=["first", "second"])
    assert not torch.equal(before, attention.to_q.base_layer.weight)
    got, wanted = unet_outputs(pipeline, tmp_path / "fused")
    assert abs(got - wanted).max() < 1e-4 * abs(wanted).max()


def test_one_of_two_adapters_is_merged(diffusers: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    peft = pytest.importorskip("peft", reason="peft is not installed")
    pipeline = stable_diffusion(diffusers)
    add_two_adapters(peft, pipeline.unet)
    pipeline.set_adapters(["first", "second"])
    pipeline.fuse_lora(adapter_names=["first"])
    got, wanted = unet_outputs(pipeline, tmp_path)
    assert abs(got - wanted).max() < 1e-4 * abs(wanted).max()


@pytest.mark.parametrize(
    ("component", "method", "settings", "found"),
    [
        ("unet", "LoraConfig", {"target_modules": ["to_q"], "use_dora": True}, "lora_magnitude_vector"),
        ("unet", "LoraConfig", {"target_modules": ["to_q"], "lora_bias": True}, "lora_B.bias"),
        ("unet", "LoraConfig", {"target_modules": ["to_q"], "modules_to_save": ["conv_in"]}, "conv_in"),
        ("unet", "IA3Config", {"target_modules": ["to_q"], "feedforward_modules": []}, "IA3"),
        ("text_encoder", "LoraConfig", {"target_modules": ["token_embedding"]}, "lora_embedding_A"),
    ],
)
def test_adapters_that_diffusers_does_not_save_are_refused(
    diffusers: Any, component: str, method: str, settings: dict[str, Any], found: str, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    pipeline = stable_diffusion(diffusers)
    getattr(pipeline, component).add_adapter(getattr(peft, method)(**settings))
    with pytest.raises(ExportError, match=f"the pipeline's {component} .*{found}.*fuse_lora") as raised:
        onnx_export_from_model(pipeline, tmp_path)
    assert raised.value.code == "unsupported"


def test_a_component_with_adapters_is_refused(diffusers: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    unet = diffusers.UNet2DConditionModel(**UNET)
    unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q"]))
    with pytest.raises(ExportError, match="fuse_lora"):
        onnx_export_from_model(unet, tmp_path)
