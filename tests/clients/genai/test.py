"""onnxruntime-genai, as its users call it, on what `onnxport --layout genai` wrote.

    python3 test.py PROGRAM CACHE WORK      CACHE: filled by tools/setup.sh, WORK: a folder to write to

The client generates tokens. They must be those of a plain loop around ONNX Runtime."""
import json
import shutil
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from support import (  # noqa: E402
    MARGIN, NEW_TOKENS, WORK, Loop, best, export, np, og, open_session, run_client, write_checkpoint)

# Fixtures with the client's name for their type.
DECODERS = {
    "bart/text-generation-with-past": "decoder",
    "bloom/text-generation-with-past": "decoder",
    "cohere/text-generation-with-past": "decoder",
    "exaone4/text-generation-with-past": "decoder",
    "falcon/text-generation-with-past+alibi": "decoder",
    "gemma/text-generation-with-past": "gemma",
    "gemma2/text-generation-with-past": "gemma2",
    "gemma3_text/text-generation-with-past": "gemma3_text",
    "gpt2/text-generation-with-past": "decoder",
    "gpt_neox/text-generation-with-past": "decoder",
    "gpt_oss/text-generation-with-past": "gptoss",
    "gptj/text-generation-with-past": "decoder",
    "granite/text-generation-with-past": "granite",
    "gemma4_text/text-generation-with-past": "gemma4_text",
    "lfm2/text-generation-with-past": "lfm2",
    "lfm2_moe/text-generation-with-past": "lfm2_moe",
    "llama/text-generation-with-past": "llama",
    "llama/text-generation-with-past+mqa": "llama",
    "mistral/text-generation-with-past+sliding": "mistral",
    "mixtral/text-generation-with-past": "decoder",
    "mpt/text-generation-with-past": "decoder",
    "olmo2/text-generation-with-past": "decoder",
    "opt/text-generation-with-past": "decoder",
    "phi/text-generation-with-past": "phi",
    "phi3/text-generation-with-past": "phi3",
    "qwen2/text-generation-with-past+sliding": "qwen2",
    "qwen3/text-generation-with-past": "qwen3",
    "qwen3_5_text/text-generation-with-past": "qwen3_5_text",
    "qwen3_5_moe_text/text-generation-with-past": "qwen3_5_moe_text",
    "qwen3_moe/text-generation-with-past": "decoder",
}

# Without position_ids, a decoder counts padding in the middle of a row as positions; so does every sliding window, and
# the states of LFM2 and Qwen 3.5 read it.
MOVED_BY_PADDING = {
    "bart/text-generation-with-past",
    "exaone4/text-generation-with-past",
    "gemma2/text-generation-with-past",
    "gemma3_text/text-generation-with-past",
    "gpt_oss/text-generation-with-past",
    "lfm2/text-generation-with-past",
    "lfm2_moe/text-generation-with-past",
    "mistral/text-generation-with-past+sliding",
    "qwen2/text-generation-with-past+sliding",
    "qwen3_5_moe_text/text-generation-with-past",
    "qwen3_5_text/text-generation-with-past",
}


class Comparison(unittest.TestCase):
    def compare(self, model, loop, rows, pad=None):
        expected, margin = loop.generate(rows, pad)
        self.assertGreater(margin, MARGIN, "too close to call")
        np.testing.assert_array_equal(run_client(model, rows), expected)
        return expected

    def check(self, name, client_type, edit=lambda config, tensors: None, *flags):
        work = WORK / "_".join([name.replace("/", "_"), *flags])
        write_checkpoint(name, work / "checkpoint", edit)
        export(work / "checkpoint", "text-generation-with-past", work / "out", "--layout", "genai", "--no-validate", *flags)
        model, loop = og.Model(str(work / "out")), Loop(work / "out" / "model.onnx")
        self.assertEqual(model.type, client_type)
        pad = json.loads((work / "out" / "genai_config.json").read_text())["model"]["pad_token_id"]
        first, second = [5, 6, 17, 8, 30], [40, 9, 41]
        self.compare(model, loop, [first])
        alone = self.compare(model, loop, [second])
        self.compare(model, loop, [first, first[::-1]])
        padded = self.compare(model, loop, [first, second + [pad] * 2], pad)
        if name not in MOVED_BY_PADDING:
            np.testing.assert_array_equal(padded[1][len(first):], alone[0][len(second):])
        varied = len(set(padded.flatten().tolist()))
        self.assertGreater(varied, 8, "so few different tokens would not show a wrong cache")


class Decoders(Comparison):
    """Every type, in float32."""


def add(name, client_type):
    setattr(Decoders, f"test_{name}", lambda self: self.check(name, client_type))


for decoder in DECODERS.items():
    add(*decoder)


class Quantized(Comparison):
    """Weights of 4 bits: MatMulNBits at the client's own accuracy level, plain and beside fused operators."""

    def check_precision(self, name, *flags):
        self.check(name, DECODERS[name], lambda config, tensors: None, "--quantize", "q4", "--block-size", "16", *flags)


for name in ("llama", "gpt2", "phi3", "qwen3_moe"):
    for flags in ((), ("--target", "ort"), ("--quantize-algorithm", "k_quant")):
        setattr(Quantized, "_".join(["test", name, *flags]), lambda self, name=name, flags=flags: self.check_precision(
            f"{name}/text-generation-with-past", *flags))


class SharedCache(Comparison):
    """With the operators of ONNX Runtime, past and present are one buffer. Tokens are those of the plain file."""

    def check_shared(self, name, *flags):
        work = WORK / "_".join(["shared", name.replace("/", "_"), *flags])
        write_checkpoint(name, work / "checkpoint")
        task = "text-generation-with-past"
        export(work / "checkpoint", task, work / "out", "--layout", "genai", "--target", "ort", *flags)
        export(work / "checkpoint", task, work / "plain", "--no-validate", *flags)
        settings = json.loads((work / "out" / "genai_config.json").read_text())
        self.assertTrue(settings["search"]["past_present_share_buffer"])
        model, loop = og.Model(str(work / "out")), Loop(work / "plain" / "model.onnx")
        first, second, pad = [5, 6, 17, 8, 30], [40, 9, 41], settings["model"]["pad_token_id"]
        alone = [self.compare(model, loop, [row])[0] for row in (first, second)]
        self.compare(model, loop, [first, first[::-1]])
        # Each row has its own positions, so that padding moves none, not even behind a window.
        padded = run_client(model, [first, second + [pad] * 2])
        np.testing.assert_array_equal(padded[0], alone[0])
        np.testing.assert_array_equal(padded[1][len(first):][:NEW_TOKENS], alone[1][len(second):][:NEW_TOKENS])

    def test_half_precision(self):
        self.check_shared("llama/text-generation-with-past", "--dtype", "fp16")

    def test_appends_where_positions_are_not_an_input(self):
        work = WORK / "not_shared"
        write_checkpoint("gemma2/text-generation-with-past", work / "checkpoint")
        export(work / "checkpoint", "text-generation-with-past", work / "out", "--layout", "genai", "--target", "ort",
               "--no-validate")
        settings = json.loads((work / "out" / "genai_config.json").read_text())
        self.assertFalse(settings["search"]["past_present_share_buffer"])


for name in ("llama", "llama+mqa", "mistral+sliding", "mixtral", "phi3", "qwen2+sliding", "opt"):
    kind, _, variant = name.partition("+")
    fixture = f"{kind}/text-generation-with-past" + (f"+{variant}" if variant else "")
    setattr(SharedCache, f"test_{name}", lambda self, fixture=fixture: self.check_shared(fixture))


class Settings(unittest.TestCase):
    def export(self, name, edit):
        """The settings of an export of llama with an edited checkpoint."""
        work = WORK / name
        write_checkpoint("llama/text-generation-with-past", work / "checkpoint")
        edit(work / "checkpoint")
        export(work / "checkpoint", "text-generation-with-past", work / "out", "--layout", "genai", "--no-validate")
        og.Model(str(work / "out"))  # the client reads the file strictly: an unknown key is an error
        return json.loads((work / "out" / "genai_config.json").read_text())

    def test_generation_config(self):
        generation = {"eos_token_id": [2, 98, 7], "pad_token_id": 3, "do_sample": True, "temperature": 0.6, "top_k": 20,
                      "top_p": 0.95, "repetition_penalty": 1.1}
        read = self.export("generation_config", lambda folder: (folder / "generation_config.json").write_text(
            json.dumps(generation)))
        self.assertEqual(generation, {key: (read["model"] | read["search"])[key] for key in generation})

    def test_external_data(self):
        work = WORK / "external_data"
        write_checkpoint("llama/text-generation-with-past", work / "checkpoint")
        export(work / "checkpoint", "text-generation-with-past", work / "out", "--layout", "genai", "--no-validate",
               "--external-data", "always")
        self.assertTrue((work / "out" / "model.onnx_data").exists())
        rows = [[5, 6, 17, 8, 30]]
        expected, _ = Loop(work / "out" / "model.onnx").generate(rows)
        np.testing.assert_array_equal(run_client(og.Model(str(work / "out")), rows), expected)

    def test_half_precision(self):
        work = WORK / "half_precision"
        write_checkpoint("llama/text-generation-with-past", work / "checkpoint")
        export(work / "checkpoint", "text-generation-with-past", work / "out", "--layout", "genai", "--no-validate",
               "--dtype", "fp16")
        rows = [[5, 6, 17, 8, 30], [40, 9, 41, 7, 50]]
        expected, _ = Loop(work / "out" / "model.onnx").generate(rows)
        np.testing.assert_array_equal(run_client(og.Model(str(work / "out")), rows), expected)


class Speech(unittest.TestCase):
    FRAMES = 3000  # the client's only length

    def test_whisper(self):
        def edit(config, tensors):
            config["max_source_positions"] = self.FRAMES // 2
            tensors["model.encoder.embed_positions.weight"]["shape"][0] = self.FRAMES // 2

        work, task = WORK / "whisper", "automatic-speech-recognition"
        write_checkpoint(f"whisper/{task}-with-past", work / "checkpoint", edit)
        export(work / "checkpoint", f"{task}-with-past", work / "out", "--layout", "genai")
        export(work / "checkpoint", task, work / "plain", "--no-validate")
        self.assertEqual(sorted(path.name for path in (work / "out").glob("*.onnx")),
                         ["decoder_with_past_model.onnx", "encoder_model.onnx"])
        model = og.Model(str(work / "out"))
        self.assertEqual(model.type, "whisper")
        encoder, decoder = (open_session(work / "plain" / f"{part}_model.onnx") for part in ("encoder", "decoder"))
        steps = np.arange(10 * self.FRAMES, dtype=np.float32).reshape(1, 10, self.FRAMES)
        seen = set()
        for prompts in ([[3, 7, 5]], [[3, 7, 5], [3, 12, 8]]):
            features = np.concatenate([np.sin(steps * (0.3 + row)) + steps / 30000 for row in range(len(prompts))])
            [states] = encoder.run(None, {"input_features": features})
            rows = np.array(prompts)
            for _ in range(NEW_TOKENS):
                [scores] = decoder.run(["logits"], {"input_ids": rows, "encoder_hidden_states": states})
                chosen, margin = best(scores[:, -1])
                self.assertGreater(margin, MARGIN, "too close to call")
                rows = np.concatenate([rows, chosen[:, None]], 1)
            np.testing.assert_array_equal(run_client(model, prompts, features), rows)
            seen |= set(rows.flatten().tolist())
        self.assertGreater(len(seen), 8, "so few different tokens would not show a wrong cache")


from phi4 import Phi4  # noqa: E402, F401
from seeing import Processors, Recorded  # noqa: E402, F401
from vision import Vision  # noqa: E402, F401

shutil.rmtree(WORK, ignore_errors=True)
unittest.main(argv=sys.argv[:1])
