"""Models that make text: encoder-decoders for text, speech and images, and decoders."""
import optimum.onnxruntime as onnx
import torch
from support import GOLDEN, WRONG_SHAPE, Comparison, inputs, optimum_has, original, variants_of, write, write_and_export

TEXT = ["bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "encoder-decoder", "fsmt", "longt5", "m2m_100",
        "marian", "mbart", "mt5", "nllb-moe", "pegasus", "plbart", "prophetnet", "switch_transformers", "t5", "t5gemma",
        "umt5"]
# The class reads the number of heads from `config.decoder`, which has none in this type.
NO_HEADS = "fsmt"
# transformers 4.57.6 cuts the encoder's keys to the decoder's window, but in its cache alone.
WRONG_CACHE = "t5gemma"
# The search with beams reads the encoder's number of words, here and in transformers.
NO_BEAMS = "marian/text2text-generation-with-past+sepvocab"
# The class computes the shape of these decoders' caches without reading `num_key_value_heads` or `head_dim`. No fixture
# has the values that it assumes.
WRONG_SHAPES = ["gemma2", "olmo", "olmo2", "phi3", "qwen3"]


def fits(part, heads):
    """Whether an empty cache as the class makes it has the shape of the file's. Files without one fit."""
    shapes = [shape for name, shape in part.input_shapes.items() if name.startswith("past_key_values")]
    return all([shape[1], shape[-1]] == [heads, part.embed_size_per_head] for shape in shapes)


class EncoderDecoders(Comparison):
    def refuses(self, model, reference, feed, start):
        """The class does not run the file, whose cache has the shape of the original's."""
        with self.assertRaisesRegex(Exception, WRONG_SHAPE):
            model.generate(**feed, **start)
        rows = len(next(iter(feed.values())))
        cache = reference(**feed, decoder_input_ids=torch.ones(rows, 1).long()).past_key_values
        keys = cache.self_attention_cache.layers[0].keys.shape
        shape = model.decoder.input_shapes["past_key_values.0.decoder.key"]
        self.assertEqual([shape[1], shape[3]], [keys[1], keys[3]])

    def compare(self, fixture, model, reference, cache):
        feed = inputs(fixture, "encoder_model")
        generation = reference.generation_config
        begins = generation.decoder_start_token_id is not None or generation.bos_token_id is not None
        start = {} if begins else {"decoder_start_token_id": 0}
        if model.decoder.is_merged and not fits(model.decoder, model.decoder.num_attention_heads):
            self.refuses(model, reference, feed, start)
            return
        for beams in [{}] if fixture == NO_BEAMS else [{}, {"num_beams": 3}]:
            if not fixture.startswith(f"{WRONG_CACHE}/"):
                self.same_text(model, reference, feed, cache, **start, **beams)
            else:  # without a cache, the original masks padding that it generated
                self.same_text(model, reference, feed, cache, False, suppress_tokens=[0], **start, **beams)

    def compare_all(self, kind, task, names):
        for name in names:
            found = list(variants_of(name, task))
            self.assertTrue(found, name)
            for fixture, cache in found:
                checkpoint, out = write_and_export(fixture)
                if name == NO_HEADS:
                    with self.assertRaisesRegex(AttributeError, "num_attention_heads"):
                        kind.from_pretrained(out, use_cache=cache)
                    continue
                reference = original(kind.auto_model_class, checkpoint)
                for options in [{"use_merged": True}, {"use_merged": False}] if cache else [{}]:
                    with self.subTest(fixture, **options):
                        model = kind.from_pretrained(out, use_cache=cache, **options)
                        self.compare(fixture, model, reference, cache)

    def test_text(self):
        self.compare_all(onnx.ORTModelForSeq2SeqLM, "text2text-generation", TEXT)

    def test_speech(self):
        kinds = ["moonshine", "speech_to_text", "whisper"]
        self.compare_all(onnx.ORTModelForSpeechSeq2Seq, "automatic-speech-recognition", kinds)

    def test_images(self):
        self.compare_all(onnx.ORTModelForVision2Seq, "image-to-text", ["pix2struct", "vision-encoder-decoder"])

    def test_refused_files_of_optimum(self):
        """Of an encoder-decoder whose heads are no even parts of the width."""
        checkpoint = write("t5/text2text-generation-with-past+gated")
        model = onnx.ORTModelForSeq2SeqLM.from_pretrained(checkpoint, export=True, use_merged=True)
        with self.assertRaisesRegex(Exception, WRONG_SHAPE):
            model.generate(torch.tensor([[5, 6]]))


class Decoders(Comparison):
    def compare(self, fixture, cache):
        """Whether the class runs the file, and then to the same text."""
        checkpoint, out = write_and_export(fixture)
        model = onnx.ORTModelForCausalLM.from_pretrained(out, use_cache=cache)
        words = model.config.get_text_config().vocab_size
        ids = torch.arange(20, 30).reshape(2, 5) % (words - 4) + 4
        mask = torch.ones_like(ids)
        mask[1, :2] = 0
        feed = {"input_ids": ids, "attention_mask": mask}
        if model.config.model_type != "deepseek_v3" and not fits(model, model.num_key_value_heads):
            with self.assertRaisesRegex(Exception, WRONG_SHAPE):
                model.generate(**feed)
            return False
        reference = original(model.auto_model_class, checkpoint)
        self.same_text(model, reference, feed, cache)
        self.same_text(model, reference, feed, cache, num_beams=3)
        return True

    def test_decoders(self):
        names = [folder.name for folder in sorted(GOLDEN.iterdir()) if "text-generation-with-past" in optimum_has(folder.name)]
        self.assertGreater(len(names), 30)
        for name in names:
            found = list(variants_of(name, "text-generation"))
            for cache in (False, True):
                with self.subTest(name, cache=cache):
                    runs = any(self.compare(fixture, cache) for fixture, cached in found if cached == cache)
                    self.assertEqual(runs, not (cache and name in WRONG_SHAPES))

    def test_refused_files_of_optimum(self):
        """Of a decoder with fewer heads of keys than of queries."""
        model = onnx.ORTModelForCausalLM.from_pretrained(write("phi3/text-generation-with-past"), export=True)
        with self.assertRaisesRegex(Exception, WRONG_SHAPE):
            model.generate(torch.tensor([[5, 6]]))
