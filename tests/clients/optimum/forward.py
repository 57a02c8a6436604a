"""Classes that call one file once."""
from fnmatch import fnmatch

import optimum.onnxruntime as onnx
from support import Comparison, expected, inputs, names_of, original, write_and_export
from transformers import CONFIG_MAPPING

CLASSES = {
    "audio-classification": onnx.ORTModelForAudioClassification,
    "audio-frame-classification": onnx.ORTModelForAudioFrameClassification,
    "audio-xvector": onnx.ORTModelForAudioXVector,
    "automatic-speech-recognition": onnx.ORTModelForCTC,
    "feature-extraction": onnx.ORTModelForFeatureExtraction,
    "fill-mask": onnx.ORTModelForMaskedLM,
    "image-classification": onnx.ORTModelForImageClassification,
    "image-to-image": onnx.ORTModelForImageToImage,
    "multiple-choice": onnx.ORTModelForMultipleChoice,
    "question-answering": onnx.ORTModelForQuestionAnswering,
    "semantic-segmentation": onnx.ORTModelForSemanticSegmentation,
    "text-classification": onnx.ORTModelForSequenceClassification,
    "token-classification": onnx.ORTModelForTokenClassification,
    "zero-shot-image-classification": onnx.ORTModelForZeroShotImageClassification,
}
# Types with an input for which the classes have no parameter, or another one, and the errors that they raise.
REFUSED = {
    "bros/*": "Input bbox is required",
    "decision_transformer/*": "Input states is required",
    "imagegpt/image-classification": "missing 1 required positional argument: 'pixel_values'",
    "layoutlm/*": "Input bbox is required",
    "layoutlmv3/*": "Input bbox is required",
    "lilt/*": "Input bbox is required",
    "longformer/*": "Input global_attention_mask is required",
    "markuplm/*": "Input xpath_(subs|tags)_seq is required",
    "parakeet_ctc/automatic-speech-recognition": "input_values must be provided",
    "patchtsmixer/*": "StopIteration",
    "patchtst/*": "StopIteration",
    "siglip2/*": "Input pixel_attention_mask is required",
    "vjepa2/*": "StopIteration",
    "wav2vec2-bert/a*": "input_values must be provided",
}
# The automatic class of transformers 4.57.6 does not give the model of the fixture.
NO_ORIGINAL = {
    "layoutlm/question-answering": "questions about documents have a class of their own",
    "maskformer/feature-extraction": "the original names its outputs after its parts",
    "xglm/feature-extraction": "the positions are uninitialized memory",
    "zamba/feature-extraction": "the saved configuration does not build the model",
    "zamba/text-classification": "the same",
}
# The default implementation of attention shows keys that this one hides. The fixtures are made with this one.
ATTENTION = {"doge": {"attn_implementation": "eager"}}


def calls_once(name):
    """Whether the class of the task takes files of this kind, and transformers 4.57.6 has the model."""
    files = expected(name)["files"]
    if list(files) != ["model"] or name in NO_ORIGINAL or expected(name)["model_type"] not in CONFIG_MAPPING:
        return False
    if not name.endswith("/feature-extraction"):
        return True
    return "last_hidden_state" in files["model"]["outputs"] and "decoder_input_ids" not in files["model"]["inputs"]


class Forward(Comparison):
    def compare(self, kind, name):
        checkpoint, out = write_and_export(name)
        model, feed = kind.from_pretrained(out), inputs(name)
        for pattern, message in REFUSED.items():
            if fnmatch(name, pattern):
                with self.assertRaises(Exception) as caught:
                    model(**feed)
                self.assertRegex(repr(caught.exception), message)
                return
        reference = original(kind.auto_model_class, checkpoint, **ATTENTION.get(name.split("/")[0], {}))(**feed)
        result = model(**feed)
        self.assertTrue(result)
        for key, value in result.items():
            self.near(value, reference[key], key)

    def compare_all(self, task):
        names = [name for name in names_of(task) if calls_once(name)]
        self.assertTrue(names)
        for name in names:
            with self.subTest(name):
                self.compare(CLASSES[task], name)


for one in CLASSES:
    setattr(Forward, f"test_{one.replace('-', '_')}", lambda self, task=one: self.compare_all(task))
