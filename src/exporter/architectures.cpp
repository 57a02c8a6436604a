#include "exporter/architectures.h"

#include <utility>

namespace onnxport::exporter {

std::vector<std::string_view> tasks_of_architecture(std::string_view architecture) {
  // The first fragment that occurs in the name decides. If the head is ambiguous (`…LMHeadModel` is causal in
  // gpt2, masked in xlm and the old name of T5ForConditionalGeneration), the type's supported tasks select
  // from the list.
  static const std::vector<std::pair<std::string_view, std::vector<std::string_view>>> table = {
      // text
      {"ForMaskedLM", {"fill-mask"}},
      {"ForCausalLM", {"text-generation"}},
      {"LMHead", {"text-generation", "fill-mask", "text2text-generation"}},
      {"DoubleHeads", {"text-generation"}},
      {"ForConditionalGeneration",
       {"text2text-generation", "automatic-speech-recognition", "image-to-text", "text-to-audio",
        "image-text-to-text", "audio-text-to-text"}},
      {"ForSequenceClassification", {"text-classification", "audio-classification"}},
      {"ForTokenClassification", {"token-classification"}},
      {"ForQuestionAnswering", {"question-answering", "visual-question-answering"}},
      {"ForMultipleChoice", {"multiple-choice"}},
      {"BertGenerationEncoder", {"feature-extraction"}},
      {"BertGenerationDecoder", {"text-generation"}},
      {"ElectraForPreTraining", {"feature-extraction"}},  // a discriminator, whose head has no task
      {"ForPreTraining", {"fill-mask", "feature-extraction"}},
      // vision
      {"ForImageTextRetrieval", {"image-text-retrieval"}},
      {"ForImageAndTextRetrieval", {"image-text-retrieval"}},
      {"ForMaskedImageModeling", {"masked-im"}},
      {"ForImageClassification", {"image-classification"}},
      {"ForZeroShotImageClassification", {"zero-shot-image-classification"}},
      {"ForZeroShotObjectDetection", {"zero-shot-object-detection"}},
      {"ForObjectDetection", {"object-detection", "zero-shot-object-detection"}},
      {"ForSemanticSegmentation", {"semantic-segmentation", "image-segmentation"}},
      {"ForInstanceSegmentation", {"image-segmentation"}},
      {"ForUniversalSegmentation", {"image-segmentation"}},
      {"ForImageSegmentation", {"image-segmentation"}},
      {"ForSegmentation", {"image-segmentation"}},
      {"ForDepthEstimation", {"depth-estimation"}},
      {"ForImageSuperResolution", {"image-to-image"}},
      {"ForPoseEstimation", {"keypoint-detection"}},
      {"ForKeypointDetection", {"keypoint-detection"}},
      {"ForImageMatting", {"image-matting"}},
      {"ForVideoClassification", {"video-classification"}},
      // audio
      {"ForAudioClassification", {"audio-classification"}},
      {"ForAudioFrameClassification", {"audio-frame-classification"}},
      {"ForXVector", {"audio-xvector"}},
      {"ForCTC", {"automatic-speech-recognition"}},
      {"ForSpeechSeq2Seq", {"automatic-speech-recognition"}},
      {"ForSpeechToText", {"automatic-speech-recognition"}},
      {"ForTextToText", {"text2text-generation"}},
      {"ForTextToSpeech", {"text-to-audio"}},
      {"Pipeline", {"text-to-image"}},  // of diffusers
      // time series
      {"ForPrediction", {"time-series-forecasting"}},
      // composites, and classes without a head
      {"SpeechEncoderDecoderModel", {"automatic-speech-recognition"}},
      {"VisionEncoderDecoderModel", {"image-to-text"}},
      {"EncoderDecoderModel", {"text2text-generation"}},
      {"MTModel", {"text2text-generation"}},  // marian
      {"Model", {"feature-extraction"}},
  };
  for (const auto& [fragment, tasks] : table) {
    if (architecture.find(fragment) != architecture.npos) return tasks;
  }
  return {};
}

}  // namespace onnxport::exporter
