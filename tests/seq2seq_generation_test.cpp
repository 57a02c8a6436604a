// Whole generation of encoder-decoders: the merged decoder with its cache gives the tokens of running
// everything anew for each token.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "generation_loop.h"
#include "golden_fixture.h"
#include "onnxport/export.h"
#include "runtime/session.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

constexpr std::int64_t kNewTokens = 20;
constexpr std::int64_t kRows = 3;

using Row = std::vector<std::int64_t>;

class Seq2SeqGeneration : public testing::TestWithParam<std::string> {};

// Logits of the last position of each row.
std::vector<double> last_of(const Tensor& logits) {
  const std::vector<double> all = logits.to_doubles();
  const std::int64_t length = logits.shape[1], width = logits.shape[2];
  std::vector<double> last;
  for (std::int64_t row = 0; row < kRows; ++row) {
    const auto begin = all.begin() + ((row + 1) * length - 1) * width;
    last.insert(last.end(), begin, begin + width);
  }
  return last;
}

// What an encoder reads: tokens or features, in the later rows masked at their ends.
NamedTensors encoder_inputs(const runtime::Session& encoder) {
  constexpr std::int64_t kTokens = 7, kFrames = 25;
  NamedTensors inputs;
  std::int64_t length = kTokens;
  for (const runtime::Session::Info& info : encoder.inputs()) {
    if (info.name != "input_features") continue;
    const auto extent = [](std::int64_t given) { return given < 0 ? kFrames : given; };
    length = extent(info.shape.at(1));
    const std::vector<std::int64_t> shape = {kRows, length, extent(info.shape.at(2))};
    std::vector<double> values(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(0.37 * static_cast<double>(i * i));
    inputs.emplace_back(info.name, Tensor::from_doubles(DType::f32, shape, values));
  }
  Rows ids(kRows, Row(length)), mask(kRows, Row(length, 1));
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t i = 0; i < length; ++i) ids[row][i] = 5 + (7 * i + 31 * row) % 60;
    for (std::int64_t i = 0; i < row * length * 2 / 7; ++i) mask[row][length - 1 - i] = 0;
  }
  inputs.emplace_back("input_ids", integers(ids));
  inputs.emplace_back("attention_mask", integers(mask));
  return inputs;
}

TEST_P(Seq2SeqGeneration, MergedDecoderGivesTheTokensOfRunningWithoutCache) {
  const TempFolder folder;
  const std::filesystem::path checkpoint = folder.path() / "checkpoint", out = folder.path() / "out";
  const GoldenFixture fixture = read_fixture(GetParam());
  synthesize(fixture, checkpoint);
  main_export({.model = checkpoint, .output = out, .task = fixture.task, .validate = false});
  const auto open = [&](const char* file) {
    return runtime::Session(out / file, runtime::SessionOptions{.intra_op_threads = 1});
  };
  const runtime::Session encoder = open("encoder_model.onnx"), plain = open("decoder_model.onnx"),
                         merged = open("decoder_model_merged.onnx");
  const NamedTensors given = encoder_inputs(encoder);
  const NamedTensors encoded = encoder.run(given);

  // As clients do: an empty past and the branch without at first; the encoder's part is kept from then on.
  NamedTensors cache;
  for (const auto& info : merged.inputs()) {
    if (!info.name.starts_with("past_key_values")) continue;
    cache.emplace_back(info.name, Tensor(DType::f32, {kRows, info.shape[1], 0, info.shape[3]}));
  }
  Rows tokens(kRows, Row{2});
  for (std::int64_t step = 0; step < kNewTokens; ++step) {
    SCOPED_TRACE("token " + std::to_string(step));
    const std::int64_t with_past = step > 0 ? 1 : 0;
    NamedTensors common = {{"encoder_attention_mask", *find(given, "attention_mask")},
                           {"encoder_hidden_states", *find(encoded, "last_hidden_state")}};
    NamedTensors inputs = common;
    inputs.emplace_back("input_ids", integers(last_columns(tokens, 1)));
    inputs.emplace_back("use_cache_branch", Tensor::from_ints(DType::boolean, {1}, {&with_past, 1}));
    inputs.insert(inputs.end(), cache.begin(), cache.end());
    const NamedTensors outputs = merged.run(inputs);
    for (auto& [name, past] : cache) {
      if (step > 0 && name.find(".encoder.") != name.npos) continue;
      past = *find(outputs, "present" + name.substr(15));
    }
    common.emplace_back("input_ids", integers(tokens));
    const std::vector<double> with = last_of(*find(outputs, "logits"));
    const NamedTensors anew = plain.run(common, {"logits"});
    const std::vector<double> without = last_of(*find(anew, "logits"));
    const auto width = static_cast<std::ptrdiff_t>(with.size() / kRows);
    for (std::int64_t row = 0; row < kRows; ++row) {
      const auto token = [&](const std::vector<double>& logits) {
        const auto begin = logits.begin() + row * width;
        return std::max_element(begin, begin + width) - begin;
      };
      ASSERT_EQ(token(with), token(without)) << "row " << row;
      tokens[row].push_back(token(with));
    }
    for (std::size_t i = 0; i < with.size(); ++i) ASSERT_NEAR(with[i], without[i], 1e-4) << "logit " << i;
  }
}

std::string seq2seq_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param.substr(0, info.param.find('/'));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(EncoderDecoders, Seq2SeqGeneration,
                         testing::Values("t5/text2text-generation-with-past",
                                         "bart/text2text-generation-with-past",
                                         "marian/text2text-generation-with-past",
                                         "mbart/text2text-generation-with-past",
                                         "m2m_100/text2text-generation-with-past",
                                         "whisper/automatic-speech-recognition-with-past",
                                         "speech_to_text/automatic-speech-recognition-with-past",
                                         "encoder-decoder/text2text-generation-with-past+bert2gpt2"),
                         seq2seq_name);

}  // namespace
}  // namespace onnxport::test
