"""Exports a model of images with torch.onnx.export, for types that Optimum does not export.

Arguments: the checkpoint, a folder, the output to keep, and the size of the images. Batch, height and width stay open."""
import pathlib
import sys

import torch
import transformers


class OneOutput(torch.nn.Module):
    def __init__(self, model, output):
        super().__init__()
        self.model, self.output = model, output

    def forward(self, pixel_values):
        return self.model(pixel_values=pixel_values)[self.output]


def main():
    checkpoint, folder, output, size = *sys.argv[1:4], int(sys.argv[4])
    config = transformers.AutoConfig.from_pretrained(checkpoint)
    model = getattr(transformers, config.architectures[0]).from_pretrained(checkpoint).eval()
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    axes = {0: "batch_size", 2: "height", 3: "width"}
    with torch.no_grad():
        torch.onnx.export(OneOutput(model, output), (torch.randn(2, 3, size, size),), folder / "model.onnx",
                          input_names=["pixel_values"], output_names=[output], opset_version=18, dynamo=False,
                          dynamic_axes={"pixel_values": axes, output: {0: "batch_size"}})


if __name__ == "__main__":
    main()
