// Whole generation: greedy decoding through ONNX Runtime with the cache gives the tokens of running
// everything anew for each token, for a batch that is padded on the left.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/tasks_manager.h"
#include "runtime/session.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

constexpr std::int64_t kNewTokens = 20;
constexpr std::int64_t kRows = 3;

using Row = std::vector<std::int64_t>;
using Rows = std::vector<Row>;

struct GenerationCase {
  std::string fixture;
  /// Beyond this length the rotation changes, and the cache is made anew, as the original's own loop does.
  std::int64_t rotation_changes_at = 0;
};

std::ostream& operator<<(std::ostream& out, const GenerationCase& c) { return out << c.fixture; }

Tensor integers(const Rows& rows) {
  Row flat;
  for (const Row& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return Tensor::from_ints(DType::i64, {kRows, static_cast<std::int64_t>(rows[0].size())}, flat);
}

// The last `count` columns.
Rows last_columns(const Rows& rows, std::int64_t count) {
  Rows result;
  for (const Row& row : rows) result.emplace_back(row.end() - count, row.end());
  return result;
}

// Position of each real token among the real ones; padding has the position that clients give it.
Rows positions(const Rows& mask, std::int64_t padded) {
  Rows result = mask;
  for (Row& row : result) {
    std::int64_t seen = 0;
    for (std::int64_t& value : row) value = value != 0 ? seen++ : padded;
  }
  return result;
}

// A model exported for a task, in ONNX Runtime.
class Exported {
 public:
  Exported(const std::filesystem::path& checkpoint, const std::string& task,
           const std::filesystem::path& file)
      : model_(TasksManager::instance().get_model_from_task(task, checkpoint)),
        config_(TasksManager::instance().get_exporter_config_constructor(model_)(model_.config(), task, {})) {
    export_onnx(model_, *config_, file);
    session_ = std::make_unique<runtime::Session>(file, runtime::SessionOptions{.intra_op_threads = 1});
  }

  std::int64_t vocab_size() const { return config_->normalized_config()["vocab_size"]; }

  // Logits of the last position of each row. `cache` holds the past of `past` positions and takes the new
  // one.
  std::vector<double> last_logits(const Rows& ids, const Rows& mask, std::int64_t past,
                                  NamedTensors& cache) const {
    const auto length = static_cast<std::int64_t>(ids[0].size()) - past;
    NamedTensors inputs = {
        {"input_ids", integers(last_columns(ids, length))},
        {"attention_mask", integers(mask)},
        {"position_ids", integers(last_columns(positions(mask, config_->padded_position_id()), length))}};
    inputs.insert(inputs.end(), cache.begin(), cache.end());
    const NamedTensors outputs = session_->run(inputs);
    cache.clear();
    for (const StateSpec& state : config_->interface().states) {
      if (!state.input.empty()) cache.emplace_back(state.input, *find(outputs, state.output));
    }
    const std::vector<double> logits = find(outputs, "logits")->to_doubles();
    std::vector<double> last;
    for (std::int64_t row = 0; row < kRows; ++row) {
      const auto begin = logits.begin() + ((row + 1) * length - 1) * vocab_size();
      last.insert(last.end(), begin, begin + vocab_size());
    }
    return last;
  }

  NamedTensors empty_cache() const {
    NamedTensors cache;
    for (const StateSpec& state : config_->interface().states) {
      if (state.input.empty()) continue;
      std::vector<std::int64_t> shape;
      for (const Dim& dim : state.shape)
        shape.push_back(dim.evaluate({{"batch_size", kRows}, {"past_sequence_length", 0}}));
      cache.emplace_back(state.input, Tensor(state.dtype, shape));
    }
    return cache;
  }

 private:
  Model model_;
  std::shared_ptr<const OnnxConfig> config_;
  std::unique_ptr<runtime::Session> session_;
};

class Generation : public testing::TestWithParam<GenerationCase> {};

TEST_P(Generation, CacheGivesTheTokensOfRunningWithout) {
  const TempFolder folder;
  const std::filesystem::path checkpoint = folder.path() / "checkpoint";
  synthesize(read_fixture(GetParam().fixture), checkpoint);
  const Exported cached(checkpoint, "text-generation-with-past", folder.path() / "with_past.onnx");
  const Exported plain(checkpoint, "text-generation", folder.path() / "plain.onnx");

  // Prompts of 7, 4 and 2 tokens.
  constexpr std::int64_t kPrompt = 7;
  Rows ids(kRows, Row(kPrompt)), mask(kRows, Row(kPrompt, 1));
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t i = 0; i < kPrompt; ++i)
      ids[row][i] = 5 + (7 * i + 31 * row) % (cached.vocab_size() - 5);
    for (std::int64_t i = 0; i < std::min<std::int64_t>(3 * row, 5); ++i) mask[row][i] = 0;
  }

  NamedTensors cache = cached.empty_cache();
  std::int64_t past = 0;
  for (std::int64_t step = 0; step < kNewTokens; ++step) {
    SCOPED_TRACE("token " + std::to_string(step));
    const auto length = static_cast<std::int64_t>(ids[0].size());
    if (const std::int64_t change = GetParam().rotation_changes_at;
        length > change && past <= change && change > 0) {
      cache = cached.empty_cache();
      past = 0;
    }
    const std::vector<double> with = cached.last_logits(ids, mask, past, cache);
    past = length;
    NamedTensors none;
    const std::vector<double> without = plain.last_logits(ids, mask, 0, none);
    for (std::int64_t row = 0; row < kRows; ++row) {
      const auto token = [&](const std::vector<double>& logits) {
        const auto begin = logits.begin() + row * cached.vocab_size();
        return std::max_element(begin, begin + cached.vocab_size()) - begin;
      };
      ASSERT_EQ(token(with), token(without)) << "row " << row;
      // Small random models may repeat a token, which says little: the scores say more.
      for (std::int64_t i = 0; i < cached.vocab_size(); ++i) {
        const auto at = static_cast<std::size_t>(row * cached.vocab_size() + i);
        ASSERT_NEAR(with[at], without[at], 1e-4) << "row " << row << ", logit " << i;
      }
      ids[row].push_back(token(with));
      mask[row].push_back(1);
    }
  }
}

std::string test_name(const testing::TestParamInfo<GenerationCase>& info) {
  return info.param.fixture.substr(0, info.param.fixture.find('/'));
}

INSTANTIATE_TEST_SUITE_P(Decoders, Generation,
                         testing::Values(GenerationCase{"llama/text-generation-with-past"},
                                         GenerationCase{"gpt2/text-generation-with-past"},
                                         GenerationCase{"gemma2/text-generation-with-past"},
                                         GenerationCase{"bloom/text-generation-with-past"},
                                         GenerationCase{"phi3/text-generation-with-past+longrope", 16},
                                         GenerationCase{"mixtral/text-generation-with-past"},
                                         GenerationCase{"falcon/text-generation-with-past+alibi"},
                                         GenerationCase{"opt/text-generation-with-past"},
                                         GenerationCase{"gemma3_text/text-generation-with-past"},
                                         GenerationCase{"qwen2/text-generation-with-past+sliding"},
                                         GenerationCase{"lfm2/text-generation-with-past"},
                                         GenerationCase{"mamba/text-generation-with-past"},
                                         GenerationCase{"mamba2/text-generation-with-past"},
                                         GenerationCase{"jamba/text-generation-with-past"},
                                         GenerationCase{"bamba/text-generation-with-past"},
                                         GenerationCase{"falcon_h1/text-generation-with-past"},
                                         GenerationCase{"zamba2/text-generation-with-past"},
                                         GenerationCase{"qwen3_next/text-generation-with-past"},
                                         GenerationCase{"recurrent_gemma/text-generation-with-past"},
                                         GenerationCase{"rwkv/text-generation-with-past"}),
                         test_name);

// ---- encoder-decoders ----

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
