"""Text about an image or a sound, from the files of a multimodal export. Needs onnxruntime and NumPy.

    onnxport export onnx -m llava-hf/llava-1.5-7b-hf out/
    pip install transformers pillow && python3 generate.py out/ photo.png "USER: <image>\\nWhat is in it? ASSISTANT:"

`Model` takes the inputs that a processor of transformers makes; the processor is not part of the export.
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


class Model:
    """The files vision_encoder or audio_encoder, embed_tokens and decoder_model_merged in a folder."""

    def __init__(self, folder):
        self.config = json.loads((Path(folder) / "config.json").read_text())
        self.encoders = [self._open(file) for file in sorted(Path(folder).glob("*_encoder.onnx"))]
        self.embed = self._open(Path(folder) / "embed_tokens.onnx")
        self.decoder = self._open(Path(folder) / "decoder_model_merged.onnx")

    @staticmethod
    def _open(file):
        return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def _placeholders(self, input_ids):
        """Where features belong: bool [batch, sequence]."""
        keys = ("image_token_index", "image_token_id", "audio_token_index", "audio_token_id")
        tokens = [self.config[key] for key in keys if self.config.get(key) is not None]
        return np.isin(input_ids, tokens)

    def embed_prompt(self, input_ids, features):
        """Embeds tokens, with the rows of `features` [n, hidden] over those of the placeholders."""
        outputs = dict(zip([o.name for o in self.embed.get_outputs()], self.embed.run(None, {"input_ids": input_ids})))
        if features is not None:
            embeds, places = outputs["inputs_embeds"], self._placeholders(input_ids)
            if places.sum() != len(features):
                raise ValueError(f"{places.sum()} placeholders in the prompt, {len(features)} rows of features")
            embeds[places] = features
        return outputs

    def encode(self, inputs):
        """The features of all images, or of all sounds: [n, hidden]. None without such inputs."""
        for encoder in self.encoders:
            names = [i.name for i in encoder.get_inputs()]
            # This one input has another name in the files of Qwen2-VL.
            given = {name: inputs.get(name, inputs.get("image_" + name)) for name in names}
            if all(value is not None for value in given.values()):
                features = encoder.run(None, given)[0]
                return features.reshape(-1, features.shape[-1])
        return None

    def positions(self, input_ids, attention_mask, grids):
        """[batch, sequence], or [3, batch, sequence] of time, row and column for models that place images in a grid."""
        plain = np.where(attention_mask > 0, np.cumsum(attention_mask, axis=1) - 1, 1)
        shape = next((i.shape for i in self.decoder.get_inputs() if i.name == "position_ids"), [])
        if len(shape) < 3:
            return plain
        merge = self.config["vision_config"]["spatial_merge_size"]
        grids, places = iter(grids if grids is not None else ()), self._placeholders(input_ids)
        positions = np.repeat(plain[None], 3, axis=0)
        for row, mask in enumerate(attention_mask):
            next_position, column = 0, int(np.argmax(mask))
            while column < len(mask):
                count = 1
                if places[row, column]:
                    frames, height, width = (int(n) for n in next(grids))
                    grid = np.indices((frames, height // merge, width // merge)).reshape(3, -1)
                    count = grid.shape[1]
                    positions[:, row, column:column + count] = next_position + grid
                    next_position += grid.max() + 1
                else:
                    positions[:, row, column] = next_position
                    next_position += 1
                column += count
        return positions

    def generate(self, inputs, max_new_tokens=32, end=()):
        """Greedy decoding. `inputs`: input_ids, attention_mask (padded on the left), and what an encoder takes. Returns
        the new tokens [batch, n]; rows that met a token of `end` repeat it."""
        ids, mask = inputs["input_ids"].astype(np.int64), inputs["attention_mask"].astype(np.int64)
        feeds = self.embed_prompt(ids, self.encode(inputs))
        positions = self.positions(ids, mask, inputs.get("image_grid_thw"))
        declared = {i.name: i for i in self.decoder.get_inputs()}
        outputs = [o.name for o in self.decoder.get_outputs()]
        cache = {name: np.zeros([n if isinstance(n, int) else (len(ids) if i == 0 else 0)
                                 for i, n in enumerate(meta.shape)], np.float32)
                 for name, meta in declared.items() if name.startswith("past")}
        new = []
        for _ in range(max_new_tokens):
            feeds |= {"attention_mask": mask, "position_ids": positions} | cache
            results = dict(zip(outputs, self.decoder.run(None, {n: v for n, v in feeds.items() if n in declared})))
            tokens = results.pop("logits")[:, -1].argmax(axis=-1)
            if new:
                tokens = np.where(np.isin(new[-1], end), new[-1], tokens)
            new.append(tokens)
            if np.isin(tokens, end).all():
                break
            # present.0.key becomes past_key_values.0.key; present_conv.0 becomes past_conv.0.
            cache = {name.replace("present.", "past_key_values.").replace("present_", "past_"): value
                     for name, value in results.items()}
            mask = np.concatenate([mask, np.ones((len(ids), 1), np.int64)], axis=1)
            positions = positions.max(axis=(0, 2) if positions.ndim == 3 else 1)[:, None] + 1
            if len(declared["position_ids"].shape if "position_ids" in declared else []) == 3:
                positions = np.repeat(positions[None], 3, axis=0)
            feeds = self.embed_prompt(tokens[:, None], None)
        return np.stack(new, axis=1)


def main(folder, image, prompt):
    from PIL import Image
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(images=Image.open(image).convert("RGB"), text=prompt, return_tensors="np")
    end = processor.tokenizer.eos_token_id
    tokens = Model(folder).generate(inputs, end=() if end is None else (end,))
    print(processor.tokenizer.decode(tokens[0], skip_special_tokens=True))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: generate.py FOLDER IMAGE PROMPT")
    main(*sys.argv[1:])
