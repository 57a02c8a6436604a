"""Models that see, as onnxruntime-genai runs them. See test.py."""
import json
import unittest

from support import MARGIN, NEW_TOKENS, WORK, best, export, np, og, open_session, write_checkpoint

TASK = "image-text-to-text-with-past"
PLACEHOLDER = 98  # of every fixture
SIDE, CHANNELS, FRAMES, PATCH = 2, 3, 2, 4  # of every fixture: patches that become one token, and their sizes
PROCESSOR = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "min_pixels": 64, "max_pixels": 1024}


def positions(ids, grid):
    """[3, 1, length]: time, row and column, with one image in the prompt."""
    _, height, width = (int(n) for n in grid[0] // [1, SIDE, SIDE])
    before, count = ids.index(PLACEHOLDER), height * width
    image = before + np.indices((1, height, width)).reshape(3, -1)
    after = before + max(height, width) + np.arange(len(ids) - before - count)
    return np.concatenate([np.tile(np.arange(before), (3, 1)), image, np.tile(after, (3, 1))], 1)[:, None]


class Vision(unittest.TestCase):
    """The client's tokens are those of the plain files, which a loop without a cache runs."""

    def check(self, name, client_type):
        work = WORK / f"vision_{name}"
        write_checkpoint(f"{name}/{TASK}", work / "checkpoint")
        (work / "checkpoint" / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
        export(work / "checkpoint", TASK, work / "out", "--layout", "genai")
        export(work / "checkpoint", TASK, work / "plain", "--no-validate")
        self.assertEqual(sorted(path.name for path in (work / "out").glob("*.onnx")),
                         ["embedding.onnx", "model.onnx", "vision.onnx"])
        model = og.Model(str(work / "out"))
        self.assertEqual(model.type, client_type)

        grid = np.array([[1, 4, 6]], np.int64)
        rows = int(grid.prod())
        pixels = np.sin(np.arange(rows * CHANNELS * FRAMES * PATCH * PATCH, dtype=np.float32) * 0.7).reshape(rows, -1)
        ids = [5, 6, 96] + [PLACEHOLDER] * (rows // SIDE**2) + [95, 17, 8, 30]
        expected = self.decode_plain(work / "plain", ids, pixels, grid)
        np.testing.assert_array_equal(self.run_client(model, ids, pixels, grid), expected)
        other = self.decode_plain(work / "plain", ids, -pixels, grid)
        self.assertNotEqual(other.tolist(), expected.tolist(), "the tokens do not depend on the image")

    def decode_plain(self, folder, ids, pixels, grid):
        encoder, table, decoder = (open_session(folder / f"{stem}.onnx") for stem in (
            "vision_encoder", "embed_tokens", "decoder_model_merged"))
        features = encoder.run(None, {"pixel_values": pixels, "image_grid_thw": grid})[0]
        ids, prompt = list(ids), len(ids)
        for _ in range(NEW_TOKENS):
            [embeds] = table.run(None, {"input_ids": np.array([ids])})
            embeds[0, 3:3 + len(features)] = features
            feed = {"inputs_embeds": embeds, "attention_mask": np.ones((1, len(ids)), np.int64)}
            head = positions(ids[:prompt], grid)
            tail = head.max() + 1 + np.arange(len(ids) - prompt)
            feed["position_ids"] = np.concatenate([head, np.tile(tail, (3, 1, 1))], 2)
            for value in decoder.get_inputs():
                if value.name.startswith("past"):
                    shape = [n if isinstance(n, int) else int(i == 0) for i, n in enumerate(value.shape)]
                    feed[value.name] = np.zeros(shape, np.float32)
            chosen, margin = best(decoder.run(["logits"], feed)[0][:, -1])
            self.assertGreater(margin, MARGIN, "too close to call")
            ids.append(int(chosen[0]))
        return np.array(ids)

    def run_client(self, model, ids, pixels, grid):
        parameters = og.GeneratorParams(model)
        length = len(ids) + NEW_TOKENS
        parameters.set_search_options(max_length=length, min_length=length, do_sample=False)
        generator = og.Generator(model, parameters)
        inputs = og.NamedTensors()
        inputs["input_ids"] = np.array([ids], np.int32)
        inputs["pixel_values"], inputs["image_grid_thw"] = pixels, grid
        inputs["num_image_tokens"] = np.array([ids.count(PLACEHOLDER)], np.int64)
        generator.set_inputs(inputs)
        while not generator.is_done():
            generator.generate_next_token()
        return np.array(generator.get_sequence(0))

    def test_other_types_are_refused(self):
        work = WORK / "vision_llava"
        write_checkpoint(f"llava/{TASK}", work / "checkpoint")
        with self.assertRaises(Exception):
            export(work / "checkpoint", TASK, work / "out", "--layout", "genai")


for name, client_type in {"qwen2_5_vl": "qwen2_5_vl", "qwen3_vl": "qwen3_vl", "qwen3_5": "qwen3_5"}.items():
    setattr(Vision, f"test_{name}", lambda self, name=name, kind=client_type: self.check(name, kind))
