"""Diffusion pipelines: the image is that of diffusers."""
import json
import shutil

import diffusers
import numpy as np
import optimum.onnxruntime as onnx
import torch
from golden import write_pipeline
from support import GOLDEN, WORK, Comparison, export

SIZE = 32
TOLERANCE = 1e-3 / 255
TEXT = ["sd", "sd2", "lcm", "sdxl", "sd3", "sd35", "flux-dev", "flux-schnell"]
# Optimum has no other class for FLUX.
IMAGE = ["sd", "sd2", "lcm", "sdxl", "sd3", "sd35"]
# diffusers has no such class for latent consistency models, and for SD3 it wants 16 latent channels, which no fixture has.
INPAINT = ["sd", "sd2", "sdxl"]
CHANNELS = 16

diffusers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()


def checkpoint_of(variant):
    folder = WORK / "diffusers" / variant / "checkpoint"
    write_pipeline(GOLDEN / "diffusers" / f"text-to-image+{variant}", folder)
    return folder


def with_channels(source):
    """The pipeline with random weights for that many latent channels."""
    folder = source.parent.with_name(f"{source.parent.name}-{CHANNELS}") / "checkpoint"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    torch.manual_seed(0)
    for part, kind, keys in (("vae", diffusers.AutoencoderKL, ["latent_channels"]),
                             ("transformer", diffusers.SD3Transformer2DModel, ["in_channels", "out_channels"])):
        config = json.loads((source / part / "config.json").read_text()) | dict.fromkeys(keys, CHANNELS)
        kind.from_config(config).save_pretrained(folder / part)
    return folder


class Pipelines(Comparison):
    def compare(self, family, folders, **feed):
        """`family`: the end of the names of classes. `folders`: of the files, and of the checkpoint."""
        images = []
        for kind, folder in zip((f"ORTPipelineFor{family}", f"AutoPipelineFor{family}"), folders):
            pipeline = getattr(onnx if kind.startswith("ORT") else diffusers, kind).from_pretrained(folder)
            pipeline.set_progress_bar_config(disable=True)
            images.append(pipeline(prompt="a b", num_inference_steps=4, guidance_scale=3.0, output_type="np",
                                   generator=torch.Generator().manual_seed(0), **feed).images)
        result, truth = images
        self.assertEqual(result.shape, truth.shape)
        self.assertGreater(truth.std(), 0.1)
        self.assertLess(np.abs(result - truth).max(), TOLERANCE)

    def compare_all(self, checkpoint, variant, kinds):
        image = torch.from_numpy(np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32))
        mask = torch.zeros(1, 1, SIZE, SIZE)
        mask[..., 8:24, 8:24] = 1
        sizes = {"height": SIZE, "width": SIZE}
        feeds = {"Text2Image": sizes, "Image2Image": {"image": image, "strength": 0.6},
                 "Inpainting": {"image": image, "mask_image": mask, "strength": 0.8} | sizes}
        folders = export(checkpoint), checkpoint
        for kind in kinds:
            with self.subTest(variant, kind=kind):
                self.compare(kind, folders, **feeds[kind])

    def test_fixtures(self):
        for variant in TEXT:
            kinds = ["Text2Image"] + ["Image2Image"] * (variant in IMAGE) + ["Inpainting"] * (variant in INPAINT)
            self.compare_all(checkpoint_of(variant), variant, kinds)

    def test_more_latent_channels(self):
        self.compare_all(with_channels(checkpoint_of("sd3")), "sd3", ["Text2Image", "Image2Image", "Inpainting"])
