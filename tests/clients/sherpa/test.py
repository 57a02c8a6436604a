"""sherpa-onnx, as its users call it, on what `onnxport --layout sherpa` wrote.

    python3 test.py PROGRAM CACHE WORK      CACHE: what tools/setup.sh filled, WORK: a folder to write to

The client hears a sound. Its tokens must be those of a plain loop around ONNX Runtime and the files of the default
layout, with features from the client's own library."""
import hashlib
import json
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

if len(sys.argv) != 4:
    sys.exit("usage: python3 test.py PROGRAM CACHE WORK")
PROGRAM, CACHE, WORK = (Path(argument).resolve() for argument in sys.argv[1:])
HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent))
from common import ROOT, use_packages  # noqa: E402

PACKAGES = "sherpa-" + hashlib.sha256((HERE / "requirements.txt").read_bytes()).hexdigest()[:12]
use_packages(CACHE, PACKAGES, "numpy-2.4.6", "onnxruntime-py-1.31.1")

import golden  # noqa: E402
import kaldi_native_fbank as knf  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
import sherpa_onnx  # noqa: E402
from common import write_safetensors  # noqa: E402

RATE = 16000
SPEECH = "automatic-speech-recognition"
# Ids of the tiny Whisper's tokens.
TEXT, END, START, ENGLISH, GERMAN, TRANSLATE, TRANSCRIBE, NO_SPEECH, NO_TIMES = 80, 80, 81, 82, 83, 84, 85, 88, 89


def sound(seconds, seed=0):
    """Tones that come and go, and noise."""
    generator, time = np.random.default_rng(seed), np.arange(int(seconds * RATE)) / RATE
    waves = sum(np.sin(2 * np.pi * f * time * (1 + 0.3 * time)) * (np.sin(2 * np.pi * time * (3 + i)) > 0)
                for i, f in enumerate((220, 740, 1900, 3400)))
    return (0.2 * waves + 0.02 * generator.standard_normal(time.size)).astype(np.float32)


def checkpoint(fixture, name, edit=lambda config, tensors: None):
    folder = WORK / name / "checkpoint"
    golden.write_checkpoint(ROOT / "tests" / "golden" / fixture, folder)
    config = json.loads((folder / "config.json").read_text())
    tensors = {key: values.copy() for key, values in golden.read_safetensors(folder / "model.safetensors").items()}
    edit(config, tensors)
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def vocabulary(folder, symbols, added=()):
    """A tokenizer.json with what the client's table needs."""
    vocab = {symbol: i for i, symbol in enumerate(symbols)}
    (folder / "tokenizer.json").write_text(json.dumps({
        "model": {"type": "BPE", "vocab": vocab},
        "added_tokens": [{"id": len(symbols) + i, "content": token, "special": True} for i, token in enumerate(added)]}))


def export(folder, task, name, *flags):
    out = folder.parent / name
    shutil.rmtree(out, ignore_errors=True)
    done = subprocess.run([PROGRAM, "export", "onnx", "-m", folder, "--task", task, *flags, out], capture_output=True,
                          text=True)
    if done.returncode:
        raise AssertionError(f"export of {folder} failed with {done.returncode}:\n{done.stderr}")
    return out


def plain(folder, task):
    """Sessions with the files of the default layout."""
    out = export(folder, task, "plain", "--no-validate")
    return {path.stem: ort.InferenceSession(path) for path in out.glob("*.onnx")}


def level(folder, bias, scores):
    """No token is the best one everywhere."""
    tensors = golden.read_safetensors(folder / "model.safetensors")
    write_safetensors(folder / "model.safetensors", tensors | {bias: tensors[bias] - scores.mean(0).astype(np.float32)})


def run(session, inputs):
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs)))


def hear(recognizer, *sounds):
    streams = []
    for samples in sounds:
        streams.append(recognizer.create_stream())
        streams[-1].accept_waveform(RATE, samples)
    recognizer.decode_streams(streams)
    return [stream.result for stream in streams]


def frames_of(bank):
    return np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])


def nemo_features(samples, bins, **options):
    """As the client computes them: [frames, bins]."""
    settings = knf.FbankOptions()
    settings.frame_opts.dither = 0
    settings.frame_opts.snip_edges = False
    settings.frame_opts.remove_dc_offset = False
    settings.mel_opts.num_bins = bins
    settings.mel_opts.low_freq = 0
    settings.mel_opts.is_librosa = True
    settings.frame_opts.window_type = options.get("window", "hann")
    settings.mel_opts.high_freq = options.get("high", 0)
    bank = knf.OnlineFbank(settings)
    bank.accept_waveform(RATE, samples.tolist())
    bank.input_finished()
    frames = frames_of(bank)
    mean = frames.mean(0)
    deviation = np.sqrt(np.maximum((frames**2).mean(0) - mean**2, 0))
    return ((frames - mean) / (deviation + 1e-5)).astype(np.float32)


class Client(unittest.TestCase):
    def varied(self, tokens, count=5):
        self.assertGreater(len(set(tokens)), count, "so few different tokens would not show a wrong result")


class Parakeet(Client):
    def pieces(self, count):
        return [f"▁{chr(97 + i)}" if i % 3 == 0 else chr(97 + i % 26) + str(i) for i in range(count)]

    def shown(self, tokens, count):
        return [self.pieces(count)[token].replace("▁", " ") for token in tokens]

    def test_ctc(self):
        folder = checkpoint(f"parakeet_ctc/{SPEECH}", "parakeet_ctc")
        vocabulary(folder, self.pieces(29), ["<pad>"])
        sounds = sound(2.0), sound(1.2, 1)
        level(folder, "ctc_head.bias", self.scores(plain(folder, SPEECH), sounds[0]))
        out, sessions = export(folder, SPEECH, "out", "--layout", "sherpa"), plain(folder, SPEECH)
        recognizer = sherpa_onnx.OfflineRecognizer.from_nemo_ctc(
            str(out / "model.onnx"), str(out / "tokens.txt"), feature_dim=12)
        expected = []
        for samples in sounds:
            best = self.scores(sessions, samples)[: len(nemo_features(samples, 12)) // 4].argmax(1)
            expected.append([t for i, t in enumerate(best) if t != 29 and (i == 0 or t != best[i - 1])])
        self.varied(expected[0])
        self.assertEqual([r.tokens for r in hear(recognizer, *sounds)], [self.shown(e, 29) for e in expected])
        self.assertEqual(hear(recognizer, sounds[1])[0].tokens, self.shown(expected[1], 29))

    def scores(self, sessions, samples):
        features = nemo_features(samples, 12)[None]
        mask = np.ones(features.shape[:2], np.int64)
        return run(sessions["model"], {"input_features": features, "attention_mask": mask})["logits"][0]

    def check_transducer(self, fixture, name, next_step):
        folder = checkpoint(fixture, name, self.sharpen)
        config = json.loads((folder / "config.json").read_text())
        blank, size = config["blank_token_id"], config["vocab_size"]
        self.assertEqual(blank, size - 1)
        vocabulary(folder, self.pieces(blank), ["<blank>"])
        samples, bins = sound(2.0), config["encoder_config"]["num_mel_bins"]
        sessions = plain(folder, SPEECH)
        frames = self.frames(sessions, samples, bins)
        self.decode(sessions, config, frames, next_step)
        level(folder, "joint.head.bias", np.array(self.seen))
        out, sessions = export(folder, SPEECH, "out", "--layout", "sherpa"), plain(folder, SPEECH)
        recognizer = sherpa_onnx.OfflineRecognizer.from_transducer(
            *(str(out / file) for file in ("encoder.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt")),
            model_type="nemo_transducer")
        expected = self.decode(sessions, config, frames, next_step)
        self.varied(expected, 3)
        self.assertEqual(hear(recognizer, samples)[0].tokens, self.shown(expected, blank))

    def frames(self, sessions, samples, bins):
        # The client's window and upper limit of frequencies are others than for CTC.
        features = nemo_features(samples, bins, window="povey", high=-400)[None].transpose(0, 2, 1)
        encoded = run(sessions["encoder"], {"audio_features": features, "length": np.array([features.shape[2]])})
        return encoded["encoder_outputs"][0].T[: encoded["encoded_lengths"][0]]

    def sharpen(self, config, tensors):
        """The joiner hears both the sound and the tokens before."""
        for name, factor in (("decoder.embedding.weight", 8), ("decoder.decoder_projector.weight", 8),
                             ("encoder_projector.weight", 3), ("joint.head.weight", 3)):
            tensors[name] *= factor

    def decode(self, sessions, config, frames, next_step):
        blank, shape = config["blank_token_id"], (config["num_decoder_layers"], 1, config["decoder_hidden_size"])
        states = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

        def predict(token):
            nonlocal states
            made = run(sessions["decoder"], {"targets": np.array([[token]]), "targets_length": np.array([1]),
                                             "lstm_hidden_state": states[0], "lstm_cell_state": states[1]})
            states = made["lstm_hidden_state_out"], made["lstm_cell_state_out"]
            return made["outputs"].transpose(0, 2, 1)

        predicted, tokens, at, here = predict(blank), [], 0, 0
        self.seen = []
        while at < len(frames):
            scores = run(sessions["joiner"], {"encoder_outputs": frames[None, at: at + 1], "decoder_outputs": predicted})
            scores = scores["outputs"].reshape(-1)
            self.seen.append(scores)
            token = int(scores[: blank + 1].argmax())
            if token != blank:
                tokens.append(token)
                predicted = predict(token)
            at, here = next_step(at, here, token == blank, scores[blank + 1:])
        return tokens

    def test_rnnt(self):
        def next_step(at, here, is_blank, _):
            return (at + 1, 0) if is_blank or here == 9 else (at, here + 1)

        self.check_transducer(f"parakeet_rnnt/{SPEECH}", "parakeet_rnnt", next_step)

    def test_tdt(self):
        def next_step(at, here, is_blank, durations):
            skip = int(durations.argmax())
            here = 0 if skip else here + (not is_blank)
            return (at + max(skip, 1), 0) if here >= 5 or (is_blank and not skip) else (at + skip, here)

        self.check_transducer(f"parakeet_tdt/{SPEECH}", "parakeet_tdt", next_step)


class Whisper(Client):
    POSITIONS, MELS = 1500, 80

    def edit(self, config, tensors):
        """Lengths and a number of bins that the client has."""
        generator = np.random.default_rng(1)
        config |= {"max_source_positions": self.POSITIONS, "num_mel_bins": self.MELS, "max_target_positions": 64,
                   "decoder_start_token_id": START, "eos_token_id": END}
        width = config["d_model"]
        tensors |= {name: (scale * generator.standard_normal(shape)).astype(np.float32) for name, scale, shape in (
            ("model.encoder.embed_positions.weight", 0.1, (self.POSITIONS, width)),
            ("model.encoder.conv1.weight", 0.2, (width, self.MELS, 3)),
            ("model.decoder.embed_positions.weight", 3, (64, width)),
            ("model.decoder.embed_tokens.weight", 1, (config["vocab_size"], width)))}
        tensors["model.decoder.layer_norm.bias"][:] = 0  # no token is the best one everywhere
        for layer in range(config["decoder_layers"]):
            for name, factor in (("k_proj", 20), ("v_proj", 4)):  # sounds matter
                tensors[f"model.decoder.layers.{layer}.encoder_attn.{name}.weight"] *= factor

    def make(self, name, *flags):
        folder = checkpoint(f"whisper/{SPEECH}-with-past", name, self.edit)
        # Bytes of a byte-level vocabulary: Ġ is a space.
        symbols = ["Ġ", *(chr(33 + i) for i in range(TEXT - 1))]
        languages = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>",
                     "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
        vocabulary(folder, symbols, languages)
        task = f"{SPEECH}-with-past"
        return export(folder, task, "out", "--layout", "sherpa", *flags), plain(folder, task), symbols

    def features(self, samples):
        settings = knf.WhisperFeatureOptions()
        settings.dim = self.MELS
        bank = knf.OnlineWhisperFbank(settings)
        bank.accept_waveform(RATE, samples.tolist())
        bank.input_finished()
        frames = np.log10(np.maximum(frames_of(bank), 1e-10))
        frames = (np.maximum(frames, frames.max() - 8) + 4) / 4
        padded = np.zeros((2 * self.POSITIONS, self.MELS), np.float32)
        padded[: len(frames)] = frames
        return padded.T[None], len(frames)

    def expect(self, sessions, samples, prompt):
        features, frames = self.features(samples)
        states = run(sessions["encoder_model"], {"input_features": features})["last_hidden_state"]
        ids, tokens = np.array([prompt]), []
        for _ in range(int(frames / 100 * 6) + 1):
            logits = run(sessions["decoder_model"], {"input_ids": ids, "encoder_hidden_states": states})["logits"]
            tokens.append(int(logits[0, -1].argmax()))
            ids = np.append(ids, [[tokens[-1]]], axis=1)
        return tokens[:-1]

    def recognizer(self, out, **settings):
        return sherpa_onnx.OfflineRecognizer.from_whisper(
            *(str(out / file) for file in ("encoder.onnx", "decoder.onnx", "tokens.txt")), **settings)

    def test_tokens(self):
        out, sessions, symbols = self.make("whisper")
        samples = sound(4.0)
        for language, task, prompt in (("en", "transcribe", [START, ENGLISH, TRANSCRIBE, NO_TIMES]),
                                       ("de", "translate", [START, GERMAN, TRANSLATE, NO_TIMES])):
            with self.subTest(language=language, task=task):
                # All frames of the table, as the default layout has them.
                recognizer = self.recognizer(out, language=language, task=task, tail_paddings=2 * self.POSITIONS)
                expected = self.expect(sessions, samples, prompt)
                result = hear(recognizer, samples)[0]
                shown = [symbols[t].replace("Ġ", " ") for t in expected if t < TEXT]
                self.varied(shown)
                self.assertNotEqual(expected, self.expect(sessions, sound(4.0, 1)[::-1].copy(), prompt))
                self.assertEqual(result.tokens, shown)
                self.assertEqual(result.lang, language)

    def test_language(self):
        out, sessions, _ = self.make("whisper_language")
        samples = sound(4.0, 3)
        features, _ = self.features(samples)
        states = run(sessions["encoder_model"], {"input_features": features})["last_hidden_state"]
        logits = run(sessions["decoder_model"], {"input_ids": np.array([[START]]), "encoder_hidden_states": states})
        scores = logits["logits"][0, -1, [ENGLISH, GERMAN]]
        recognizer = self.recognizer(out, language="", tail_paddings=2 * self.POSITIONS)
        self.assertEqual(hear(recognizer, samples)[0].lang, ("en", "de")[int(scores.argmax())])

    def test_fewer_frames(self):
        """Without padding to 30 seconds the encoder reads fewer frames, as the client's own files do."""
        out, _, _ = self.make("whisper_frames")
        self.varied(hear(self.recognizer(out), sound(4.0))[0].tokens)

    def test_half_precision(self):
        out, sessions, _ = self.make("whisper_half", "--dtype", "fp16")
        self.assertTrue(hear(self.recognizer(out), sound(4.0))[0].tokens)


class Moonshine(Client):
    def test_tokens(self):
        def edit(config, tensors):
            generator = np.random.default_rng(3)
            shape = tensors["model.decoder.embed_tokens.weight"].shape
            tensors["model.decoder.embed_tokens.weight"] = generator.standard_normal(shape).astype(np.float32)
            for name in [name for name in tensors if name.startswith("model.decoder.") and name.endswith(
                    ("o_proj.weight", "fc2.weight"))]:
                tensors[name] *= 20

        task = f"{SPEECH}-with-past"
        folder = checkpoint(f"moonshine/{task}", "moonshine", edit)
        # Pieces of SentencePiece: U+2581 is a space, and a byte has a name.
        symbols = ["<unk>", "<s>", "</s>", "<0x41>", *(f"▁{chr(97 + i % 26)}{i}" for i in range(95))]
        vocabulary(folder, symbols)
        out, sessions = export(folder, task, "out", "--layout", "sherpa"), plain(folder, task)
        self.assertEqual(sorted(path.name for path in out.glob("*.onnx")),
                         ["decoder_model_merged.onnx", "encoder_model.onnx"])
        recognizer = sherpa_onnx.OfflineRecognizer.from_moonshine_v2(
            *(str(out / file) for file in ("encoder_model.onnx", "decoder_model_merged.onnx", "tokens.txt")))
        samples = sound(2.0)
        mask = np.ones((1, samples.size), np.int64)
        states = run(sessions["encoder_model"], {"input_values": samples[None], "attention_mask": mask})
        states, ids = states["last_hidden_state"], np.array([[1]])
        for _ in range(int(states.shape[1] * 384 / 16000 * 15)):
            logits = run(sessions["decoder_model"], {"input_ids": ids, "encoder_attention_mask": mask,
                                                     "encoder_hidden_states": states})["logits"]
            token = int(logits[0, -1].argmax())
            if token == 2:
                break
            ids = np.append(ids, [[token]], axis=1)
        expected = [symbols[t].replace("▁", " ").replace("<0x41>", "A") for t in ids[0, 1:]]
        self.varied(expected)
        self.assertEqual(hear(recognizer, samples)[0].tokens, expected)


class Samples(Client):
    def check(self, fixture, name):
        folder = checkpoint(fixture, name)
        config = json.loads((folder / "config.json").read_text())
        blank, size = config["pad_token_id"], config["vocab_size"]
        symbols = [chr(65 + i % 26) + "'" * (i // 26) for i in range(size)]
        symbols[4] = "|"  # between words
        (folder / "vocab.json").write_text(json.dumps({symbol: i for i, symbol in enumerate(symbols)}))
        samples = sound(2.0)
        level(folder, "lm_head.bias", self.scores(plain(folder, SPEECH), samples))
        out, sessions = export(folder, SPEECH, "out", "--layout", "sherpa"), plain(folder, SPEECH)
        best = self.scores(sessions, samples).argmax(1)
        expected = [t for i, t in enumerate(best) if t != blank and (i == 0 or t != best[i - 1])]
        self.varied(expected)
        shown = [" " if t == 4 else symbols[t] for t in expected]
        recognizer = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(
            str(out / "model.onnx"), str(out / "tokens.txt"))
        self.assertEqual(hear(recognizer, samples)[0].tokens, shown)

    def scores(self, sessions, samples):
        values = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-5)
        return run(sessions["model"], {"input_values": values[None].astype(np.float32)})["logits"][0]

    def test_wav2vec2(self):
        self.check(f"wav2vec2/{SPEECH}", "wav2vec2")

    def test_hubert(self):
        self.check(f"hubert/{SPEECH}", "hubert")


class Refusals(unittest.TestCase):
    def refuse(self, fixture, task, *flags):
        folder = checkpoint(fixture, "refused")
        done = subprocess.run([PROGRAM, "export", "onnx", "-m", folder, "--task", task, "--layout", "sherpa", *flags,
                               folder.parent / "out"], capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def test_other_types(self):
        said = self.refuse("bert/fill-mask", "fill-mask")
        self.assertIn("layout sherpa: model type 'bert', task 'fill-mask': the client recognizes speech with", said)

    def test_without_a_tokenizer(self):
        self.assertIn("tokenizer.json: no such file", self.refuse(f"parakeet_ctc/{SPEECH}", SPEECH))

    def test_without_a_cache(self):
        said = self.refuse(f"whisper/{SPEECH}", SPEECH)
        self.assertIn("use --task automatic-speech-recognition-with-past", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
