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

# Inputs of the files, and other names that some processors have for them.
GIVEN_AS = {
    "audio_values": "input_features",
    "grid_thw": "image_grid_thw",
    "input_features": "audio_input_features",
    "pixel_position_ids": "image_position_ids",
    "pixel_values": "image_pixel_values",
}


class Model:
    """The files in a folder: vision_encoder or audio_encoder or both, embed_tokens, and decoder_model_merged, or for
    Florence-2 encoder_model, decoder_model and decoder_with_past_model."""

    def __init__(self, folder):
        folder = Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        self.towers = {kind: self._open(folder / f"{tower}_encoder.onnx")
                       for kind, tower in (("image", "vision"), ("audio", "audio"))
                       if (folder / f"{tower}_encoder.onnx").exists()}
        self.embed = self._open(folder / "embed_tokens.onnx")
        self.encoder = None
        if (folder / "encoder_model.onnx").exists():
            self.encoder = self._open(folder / "encoder_model.onnx")
            self.first = self._open(folder / "decoder_model.onnx")
            self.decoder = self._open(folder / "decoder_with_past_model.onnx")
        else:
            self.decoder = self._open(folder / "decoder_model_merged.onnx")

    @staticmethod
    def _open(file):
        return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    @staticmethod
    def _run(session, feeds):
        """All outputs by name. The file gets those of `feeds` that are inputs of it."""
        names = [output.name for output in session.get_outputs()]
        declared = {value.name for value in session.get_inputs()}
        return dict(zip(names, session.run(names, {name: value for name, value in feeds.items() if name in declared})))

    def places(self, kind, inputs):
        """Where features of "image" or "audio" belong: bool [batch, sequence]."""
        if kind == "image" and "image_embeds_position_mask" in inputs:  # of Kosmos-2, which has no id for them
            return np.asarray(inputs["image_embeds_position_mask"], bool)
        part = self.config.get({"image": "vision_config", "audio": "audio_config"}[kind]) or {}
        tokens = [where[key] for where in (self.config, part) for key in (f"{kind}_token_index", f"{kind}_token_id")
                  if where.get(key) is not None]
        return np.isin(inputs["input_ids"], tokens)

    def encode(self, inputs):
        """The features of all images and of all sounds: {"image": [n, hidden], "audio": [n, hidden]}. A kind that is
        not among the inputs is left out."""
        features = {}
        for kind, session in self.towers.items():
            given = {}
            for value in session.get_inputs():
                name = value.name if inputs.get(value.name) is not None else GIVEN_AS.get(value.name, value.name)
                if inputs.get(name) is None:
                    continue
                array = np.asarray(inputs[name])
                if array.ndim > len(value.shape):  # views of one image, or of images with one view
                    array = array.reshape(-1, *array.shape[2:])
                if value.type == "tensor(int64)":  # the processor of Phi-4 gives a mask as floats
                    array = array.astype(np.int64)
                given[value.name] = array
            missing = [value.name for value in session.get_inputs() if value.name not in given]
            if given and missing:
                raise ValueError(f"the features of {kind} also need {', '.join(missing)}")
            if given:
                rows = session.run(None, given)[0]
                features[kind] = rows.reshape(-1, rows.shape[-1])
        return features

    def embed_prompt(self, inputs, features):
        """Embeds the tokens of `inputs`, with the rows of `features` over the vectors of the placeholders."""
        outputs = self._run(self.embed, {"input_ids": inputs["input_ids"]})
        for kind, rows in features.items():
            places = self.places(kind, inputs)
            if places.sum() != len(rows):
                raise ValueError(f"{places.sum()} placeholders of {kind} in the prompt, {len(rows)} rows of features")
            outputs["inputs_embeds"][places] = rows
        return outputs

    def positions(self, inputs):
        """[batch, sequence], or [3, batch, sequence] of time, row and column for models that place images in a grid."""
        mask, grids = inputs["attention_mask"], inputs.get("image_grid_thw")
        plain = np.where(mask > 0, np.cumsum(mask, axis=1) - 1, 1)
        if self.config["model_type"] == "kosmos-2":  # rows of its table, which begins with padding
            return self._padding_id() + np.cumsum(mask, axis=1) * mask
        shape = next((i.shape for i in self.decoder.get_inputs() if i.name == "position_ids"), [])
        if len(shape) < 3:
            return plain
        merge = self.config["vision_config"].get("spatial_merge_size", 2)
        grids, places = iter(grids if grids is not None else ()), self.places("image", inputs)
        positions = np.repeat(plain[None], 3, axis=0)
        for row, real in enumerate(mask):
            next_position, column = 0, int(np.argmax(real))
            while column < len(real):
                count = 1
                if places[row, column]:
                    frames, height, width = (int(n) for n in next(grids))
                    grid = np.indices((frames, height // merge, width // merge)).reshape(3, -1)
                    if self.config["model_type"] == "qwen2_5_vl":
                        grid[0] = 0  # frames of an image have one time; those of a video would not
                    count = grid.shape[1]
                    positions[:, row, column:column + count] = next_position + grid
                    next_position += grid.max() + 1
                else:
                    positions[:, row, column] = next_position
                    next_position += 1
                column += count
        return positions

    def next_positions(self, positions, tokens, length):
        """Those of one more token in each row, behind `length` columns."""
        if self.config["model_type"] == "kosmos-2":  # the original counts the columns from here on, padding included
            padding = self._padding_id()
            return padding + np.where(tokens == padding, 0, length + 1)[:, None]
        following = positions.max(axis=(0, 2) if positions.ndim == 3 else 1)[:, None] + 1
        return np.repeat(following[None], 3, axis=0) if positions.ndim == 3 else following

    def _padding_id(self):
        return self.config["text_config"].get("pad_token_id", 1)

    def generate(self, inputs, max_new_tokens=32, end=()):
        """Greedy decoding. `inputs`: input_ids, attention_mask (padded on the left), and what an encoder takes. Returns
        the new tokens [batch, n]; rows that met a token of `end` repeat it."""
        inputs = {name: np.asarray(value) for name, value in inputs.items() if value is not None}
        for name in ("input_ids", "attention_mask"):
            inputs[name] = inputs[name].astype(np.int64)
        prompt = self.embed_prompt(inputs, self.encode(inputs))
        steps = self._decode(inputs, prompt) if self.encoder is None else self._decode_encoded(inputs, prompt)
        new, logits = [], next(steps)
        while True:
            tokens = logits[:, -1].argmax(axis=-1)
            if new:
                tokens = np.where(np.isin(new[-1], end), new[-1], tokens)
            new.append(tokens)
            if len(new) == max_new_tokens or np.isin(tokens, end).all():
                return np.stack(new, axis=1)
            logits = steps.send(tokens)

    def _decode(self, inputs, prompt):
        """A generator that takes tokens and gives logits; the prompt comes first."""
        feeds, mask, positions = prompt, inputs["attention_mask"], self.positions(inputs)
        cache = {meta.name: np.zeros([n if isinstance(n, int) else (len(mask) if i == 0 else 0)
                                      for i, n in enumerate(meta.shape)], np.float32)
                 for meta in self.decoder.get_inputs() if meta.name.startswith("past")}
        while True:
            results = self._run(self.decoder, feeds | {"attention_mask": mask, "position_ids": positions} | cache)
            tokens = yield results.pop("logits")
            # present.0.key becomes past_key_values.0.key; present_conv.0 becomes past_conv.0.
            cache = {name.replace("present.", "past_key_values.").replace("present_", "past_"): value
                     for name, value in results.items()}
            positions = self.next_positions(positions, tokens, mask.shape[1])
            mask = np.concatenate([mask, np.ones((len(mask), 1), np.int64)], axis=1)
            feeds = self._run(self.embed, {"input_ids": tokens[:, None]})

    def _decode_encoded(self, inputs, prompt):
        """The same for a model with an encoder of the prompt; its decoder begins with one token."""
        mask = inputs["attention_mask"]
        [states] = self.encoder.run(None, {"inputs_embeds": prompt["inputs_embeds"], "attention_mask": mask})
        feeds = {"encoder_hidden_states": states, "encoder_attention_mask": mask}
        start = self.config.get("decoder_start_token_id", self.config["text_config"].get("decoder_start_token_id", 2))
        tokens, session, cache = np.full(len(mask), start, np.int64), self.first, {}
        while True:
            embeds = self._run(self.embed, {"input_ids": tokens[:, None]})
            results = self._run(session, feeds | embeds | cache)
            tokens = yield results.pop("logits")
            # Keys and values of the encoder's states come from the first call only.
            cache |= {name.replace("present.", "past_key_values."): value for name, value in results.items()}
            session = self.decoder


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
