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


def test_adapters_that_are_not_merged(diffusers: Any, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    import torch

    pipeline = stable_diffusion(diffusers)
    pipeline.unet.add_adapter(peft.LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))
    with pytest.raises(ExportError, match="adapters of peft that are not merged"):
        onnx_export_from_model(pipeline, tmp_path / "refused")
    attention = pipeline.unet.down_blocks[1].attentions[0].transformer_blocks[0].attn1
    plain = attention.to_q.base_layer.weight.clone()
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    assert not torch.equal(plain, attention.to_q.weight)
    onnx_export_from_model(pipeline, tmp_path / "merged", do_validation=False)
    assert (tmp_path / "merged" / "unet" / "model.onnx").is_file()
