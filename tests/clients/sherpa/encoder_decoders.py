"""Whisper and Moonshine."""
from support import (
    RATE, SPEECH, Client, checkpoint, export, frames_of, hear, knf, np, ort, plain, run, sherpa_onnx, sound, vocabulary)

# Ids of the tiny Whisper's tokens.
TEXT, END, START, ENGLISH, GERMAN, TRANSLATE, TRANSCRIBE, NO_TIMES = 80, 80, 81, 82, 83, 84, 85, 89


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

    def test_times(self):
        """The client finds the time of each token in the attention of some heads."""
        out, _, _ = self.make("whisper_times", "--variant", "timestamped")
        outputs = [output.name for output in ort.InferenceSession(out / "decoder.onnx").get_outputs()]
        self.assertEqual(outputs[3:], ["cross_attention_weights"])
        result = hear(self.recognizer(out, enable_token_timestamps=True), sound(4.0))[0]
        self.varied(result.tokens)
        self.assertEqual(len(result.timestamps), len(result.tokens))
        self.assertLessEqual(max(result.timestamps), 4.1)

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
