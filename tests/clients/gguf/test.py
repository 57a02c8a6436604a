"""GGUF files that llama.cpp's own package wrote, exported.

    python3 test.py PROGRAM CACHE WORK      CACHE: what tools/setup.sh filled, WORK: a folder to write to

The fixtures of tests/golden hold what the original models answer, and the program compares with that (--reference).
Where a file gives back the bits of the checkpoint, the exported bytes must be those of the checkpoint's export too.
"""
import json
import shutil
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

if len(sys.argv) != 4:
    sys.exit("usage: python3 test.py PROGRAM CACHE WORK")
PROGRAM, CACHE, WORK = (Path(argument).resolve() for argument in sys.argv[1:4])
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import use_packages  # noqa: E402

use_packages(CACHE, "gguf-0.19.0", "numpy-2.4.6", "PyYAML-6.0.3")

import convert  # noqa: E402
import gguf  # noqa: E402
import numpy as np  # noqa: E402
from fixtures import FIXTURES  # noqa: E402


# Types that do not get back the bits of the checkpoint: norms lose some by adding 1, decays are stored as such, weights
# contain multipliers, gate and up of some experts are one tensor in the checkpoint, and Gemma 3n has longer names there.
ROUNDED = ("gemma", "gemma2", "gemma3_text", "nemotron", "mamba", "mamba2", "falcon_mamba", "jamba", "bamba", "falcon_h1", "qwen3_next",
           "granitemoe", "granitemoeshared", "granitemoehybrid", "llama4_text", "gpt_oss", "gemma3n_text")


def fresh(name):
    folder = WORK / name.replace("/", "_")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def export(model, out, *flags):
    done = subprocess.run([PROGRAM, "export", "onnx", "-m", model, *flags, out], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"export of {model} failed with {done.returncode}:\n{done.stderr}")
    return done.stdout + done.stderr


class Architectures(unittest.TestCase):
    def check(self, fixture, described):
        kind = fixture.split("/")[0]
        config, tensors = convert.load(fixture)
        expected = json.loads((convert.GOLDEN / fixture / "expected.json").read_text())
        work = fresh(fixture)
        (work / "gguf").mkdir()
        (work / "original").mkdir()
        convert.write(work / "gguf" / "model.gguf", kind, config, tensors)
        convert.write_safetensors(work / "original" / "model.safetensors", tensors)
        for folder in ("gguf", "original"):
            shutil.copy(convert.GOLDEN / fixture / "config.json", work / folder)
        flags = ["--task", expected["task"]]
        export(work / "original", work / "from_original", *flags, "--no-validate")
        export(work / "gguf", work / "from_gguf", *flags, "--no-validate")
        files = sorted(path.name for path in (work / "from_original").glob("*.onnx"))
        self.assertTrue(files)
        references = [["--reference", path] for path in sorted((convert.GOLDEN / fixture).glob("model.*.safetensors"))]
        if kind in ROUNDED:
            for reference in references or [[]]:
                export(work / "gguf", work / "validated", *flags, *reference)
        else:
            for name in files:
                self.assertEqual((work / "from_gguf" / name).read_bytes(), (work / "from_original" / name).read_bytes())
        if not described:
            return
        # The same without config.json, and by the name of the file.
        (work / "gguf" / "config.json").unlink()
        said = export(work / "gguf" / "model.gguf", work / "from_metadata", *flags, "--no-validate")
        self.assertIn("configuration: taken from the metadata of", said)
        self.assertIn("the tokenizer inside", said)
        for name in files:
            got, want = ((work / folder / name).read_bytes() for folder in ("from_metadata", "from_gguf"))
            self.assertEqual(got == want, described == "bytes")
        made = json.loads((work / "from_metadata" / "config.json").read_text())
        self.assertEqual(made["model_type"], kind)
        for reference in [["--no-validate"]] if described == "bytes" else references:  # the task is inferred
            export(work / "gguf", work / "inferred", *reference)
        for name in files:
            self.assertEqual((work / "inferred" / name).read_bytes(), (work / "from_metadata" / name).read_bytes())
        # What was written as config.json says the same.
        shutil.copy(work / "from_metadata" / "config.json", work / "gguf")
        export(work / "gguf", work / "again", *flags, "--no-validate")
        for name in files:
            self.assertEqual((work / "again" / name).read_bytes(), (work / "from_metadata" / name).read_bytes())

    def test_fixtures(self):
        for fixture, described in FIXTURES.items():
            with self.subTest(fixture):
                self.check(fixture, described)

    def test_llama3(self):
        """Its scaling is known by the factors in the file; other factors are not passed over in silence."""
        config, tensors = convert.load("llama/text-generation-with-past")
        config["rope_scaling"] = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                  "original_max_position_embeddings": 8192}
        work = fresh("llama3")
        convert.write(work / "tiny.gguf", "llama", config, tensors)
        export(work, work / "from_metadata")
        (work / "config.json").write_text(json.dumps(config))
        export(work, work / "from_config")
        self.assertEqual((work / "from_metadata" / "model.onnx").read_bytes(), (work / "from_config" / "model.onnx").read_bytes())
        config["rope_scaling"]["high_freq_factor"] = 64.0
        convert.write(work / "tiny.gguf", "llama", config, tensors)
        (work / "config.json").write_text(json.dumps(config))
        export(work, work / "from_config")
        (work / "config.json").unlink()
        with self.assertRaisesRegex(AssertionError, "unexpected tensors in tiny.gguf: rope_freqs.weight"):
            export(work, work / "from_metadata")

    def test_sentence_transformers(self):
        fixture = "sentence-transformers/feature-extraction"
        config, tensors = convert.load(fixture)
        self.assertEqual(config["model_type"], "bert")
        work = fresh("sentence")
        shutil.copytree(convert.GOLDEN / fixture, work / "model", ignore=shutil.ignore_patterns("*.safetensors"))
        convert.write(work / "model" / "model.gguf", "bert", config, tensors)
        for reference in sorted((convert.GOLDEN / fixture).glob("model.*.safetensors")):
            said = export(work / "model", work / "out", "--reference", reference)
            self.assertIn("sentence_transformers", said)

    def test_quantized(self):
        """Equal to an export of the dequantized weights, for types whose rows stay rows."""
        for kind in ("llama", "qwen2", "phi3", "bert"):
            fixture = f"{kind}/" + ("feature-extraction" if kind == "bert" else "text-generation-with-past")
            config, tensors = convert.load(fixture)
            for quantization in ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "BF16", "F16"):
                with self.subTest(f"{kind} {quantization}"):
                    work = fresh(f"quantized_{kind}_{quantization}")
                    (work / "gguf").mkdir()
                    (work / "original").mkdir()
                    convert.write(work / "gguf" / "model.gguf", kind, config, tensors, quantization)
                    convert.write_safetensors(work / "original" / "model.safetensors",
                                              convert.through(tensors, quantization))
                    for folder in ("gguf", "original"):
                        shutil.copy(convert.GOLDEN / fixture / "config.json", work / folder)
                        export(work / folder, work / f"from_{folder}", "--no-validate", "--external-data", "always")
                    got, want = ((work / folder / "model.onnx_data").read_bytes() for folder in ("from_gguf", "from_original"))
                    # A float16 tensor that becomes float32 has another name, and so may have another place.
                    self.assertEqual(len(got), len(want))
                    if quantization not in ("BF16", "F16"):
                        self.assertEqual(got, want)
                    export(work / "gguf", work / "validated")

    def test_experts_in_mxfp4(self):
        """As gpt-oss is published. The experts of a layer are one tensor of blocks."""
        config, tensors = convert.load("gpt_oss/text-generation-with-past")
        config["intermediate_size"] = 64
        random, expected = np.random.default_rng(3), []
        for name in [name for name in tensors if ".experts." in name]:
            wide = "gate_up" in name
            rows, columns = (128, 32) if wide else (32, 64)
            if name.endswith("_bias"):
                tensors[name] = random.standard_normal((4, rows)).astype(np.float32)
                continue
            kind = gguf.GGMLQuantizationType.MXFP4
            blocks = gguf.quants.quantize(random.standard_normal((4, rows, columns)).astype(np.float32), kind)
            values = gguf.quants.dequantize(blocks, kind).astype(np.float32)
            tensors[name] = values.swapaxes(1, 2)
            expected += [values[:, ::2], values[:, 1::2]] if wide else [values]
        work = fresh("mxfp4")
        convert.write(work / "model.gguf", "gpt_oss", config, tensors, "MXFP4", quantized="_exps")
        self.assertLess((work / "model.gguf").stat().st_size, 150_000)
        export(work, work / "out", "--external-data", "always")
        data = (work / "out" / "model.onnx_data").read_bytes()
        self.assertEqual(len(expected), 3 * config["num_hidden_layers"])
        for values in expected:
            self.assertIn(np.ascontiguousarray(values).tobytes(), data)
        export(work, work / "codes", "--quantize", "q4")

    def test_older_deepseek(self):
        """Files from before llama.cpp kept latents have whole keys and values, and do not tell the groups of experts."""
        fixture = "deepseek_v2/text-generation-with-past+lite"
        config, tensors = convert.load(fixture)
        work = fresh("older_deepseek")

        def add_whole_heads(writer, config):
            writer.add_head_count_kv(config["num_attention_heads"])
            writer.add_kv_lora_rank(config["kv_lora_rank"])
            writer.add_key_length(config["qk_nope_head_dim"] + config["qk_rope_head_dim"])
            writer.add_value_length(config["v_head_dim"])
            writer.add_rope_dimension_count(config["qk_rope_head_dim"])

        for folder in ("original", "gguf"):
            (work / folder).mkdir()
        with mock.patch("changes.split_latents", lambda config, tensors: tensors), mock.patch("metadata.add_latents", add_whole_heads):
            convert.write(work / "gguf" / "model.gguf", "deepseek_v2", config, tensors)
        convert.write_safetensors(work / "original" / "model.safetensors", tensors)
        shutil.copy(convert.GOLDEN / fixture / "config.json", work / "original")
        for folder in ("original", "gguf"):
            export(work / folder, work / f"from_{folder}", "--no-validate")
        got, want = ((work / f"from_{folder}" / "model.onnx").read_bytes() for folder in ("gguf", "original"))
        self.assertEqual(got, want)

    def test_parts(self):
        config, tensors = convert.load("llama/text-generation-with-past")
        work = fresh("parts")
        for folder, options in (("whole", {}), ("parts", {"split_max_tensors": 5})):
            (work / folder).mkdir()
            convert.write(work / folder / "tiny.gguf", "llama", config, tensors, **options)
            export(work / folder, work / f"from_{folder}", "--no-validate")
        parts = sorted(path.name for path in (work / "parts").iterdir())
        self.assertGreater(len(parts), 2)
        export(work / "parts" / parts[1], work / "from_second", "--no-validate")
        want = (work / "from_whole" / "model.onnx").read_bytes()
        for folder in ("from_parts", "from_second"):
            self.assertEqual((work / folder / "model.onnx").read_bytes(), want)
        (work / "parts" / parts[1]).unlink()
        with self.assertRaisesRegex(AssertionError, f"part '{parts[1]}' of {parts[0]} is missing"):
            export(work / "parts", work / "lacking", "--no-validate")

    def test_weights_in_place(self):
        config, tensors = convert.load("qwen2/text-generation-with-past")
        for quantization in ("F32", "F16", "Q8_0"):
            with self.subTest(quantization):
                work = fresh(f"in_place_{quantization}")
                convert.write(work / "tiny.gguf", "qwen2", config, tensors, quantization)
                flags = ["--external-data", "checkpoint", "--external-data-threshold", "1024"]
                export(work, work, *flags)
                self.assertIn(b"tiny.gguf", (work / "model.onnx").read_bytes())


class Formats(unittest.TestCase):
    """Every format, any bits: what gguf.quants gives, to the last bit."""

    ELEMENTS = 256  # a row, for the formats whose blocks are this long
    FORMATS = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "MXFP4")
    # Where in a block its scales are: float16 numbers that must be finite, since NaNs have no one true bit pattern.
    SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108],
              "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "MXFP4": []}

    def random_tensor(self, random, name, rows):
        kind = gguf.GGMLQuantizationType[name]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (rows * self.ELEMENTS // elements, size), dtype=np.uint8)
        if name in self.SCALES:
            for place in self.SCALES[name]:  # denormal, huge and negative ones too
                scales = random.integers(0, 0x7C00, len(blocks), dtype=np.uint16) | random.choice([0, 0x8000], len(blocks)).astype(np.uint16)
                blocks[:, place:place + 2] = scales.view(np.uint8).reshape(-1, 2)
        else:
            values = random.standard_normal((rows, self.ELEMENTS)).astype(np.float32)
            blocks = gguf.quants.quantize(values, kind)
        return blocks.reshape(rows, -1).view({"F32": np.float32, "F16": np.float16}.get(name, np.uint8)), kind

    def test_bits(self):
        work = fresh("formats")
        random = np.random.default_rng(7)
        config = dict(vocab_size=67, hidden_size=256, num_hidden_layers=len(self.FORMATS), num_attention_heads=4,
                      intermediate_size=self.ELEMENTS, max_position_embeddings=16, type_vocab_size=2, layer_norm_eps=1e-12)
        writer = gguf.GGUFWriter(work / "model.gguf", "bert")
        convert.add_metadata(writer, "bert", config)
        for name, shape in (("token_embd.weight", (67, 256)), ("token_types.weight", (2, 256)), ("position_embd.weight", (16, 256)),
                            ("token_embd_norm.weight", (256,)), ("token_embd_norm.bias", (256,))):
            writer.add_tensor(name, random.standard_normal(shape).astype(np.float32))
        wanted = {}
        for layer, name in enumerate(self.FORMATS):
            for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down"):
                tensor, kind = self.random_tensor(random, name, 256)
                key = f"blk.{layer}.{part}"
                writer.add_tensor(key + ".weight", tensor, raw_dtype=kind)
                writer.add_tensor(key + ".bias", random.standard_normal(256).astype(np.float32))
                with np.errstate(over="ignore"):  # MXFP4 has such scales
                    wanted[f"{key} {name}"] = gguf.quants.dequantize(tensor, kind).astype(np.float32).tobytes()
            for part in ("attn_output_norm", "layer_output_norm"):
                for ending in ("weight", "bias"):
                    writer.add_tensor(f"blk.{layer}.{part}.{ending}", random.standard_normal(256).astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        export(work, work / "out", "--no-validate", "--external-data", "always")
        data = (work / "out" / "model.onnx_data").read_bytes()
        for key, want in wanted.items():
            with self.subTest(key):
                # Queries are scaled in the weights, by 1/8 here: a power of two.
                found = want in data or (np.frombuffer(want, np.float32) / np.float32(8)).tobytes() in data
                self.assertTrue(found)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]])
