"""sherpa-onnx, as its users call it, on the files that `onnxport --layout sherpa` wrote.

    python3 test.py PROGRAM CACHE WORK      CACHE: filled by tools/setup.sh, WORK: a folder to write to

The client hears a sound. Its tokens must be those of a plain loop around ONNX Runtime and the files of the default
layout, with features from the client's own library."""
import json
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from encoder_decoders import Moonshine, Whisper  # noqa: E402, F401
from support import (  # noqa: E402
    PROGRAM, RATE, SPEECH, Client, checkpoint, export, frames_of, hear, knf, level, np, plain, run, sherpa_onnx, sound,
    vocabulary)


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
            heard = {"encoder_outputs": frames[None, at: at + 1], "decoder_outputs": predicted}
            scores = run(sessions["joiner"], heard)["outputs"].reshape(-1)
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
