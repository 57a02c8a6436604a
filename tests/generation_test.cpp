// Whole generation: greedy decoding through ONNX Runtime with the cache gives the tokens of running
// everything anew for each token, and those of transformers; so does beam search. The batch is padded on the
// left.
#include <gtest/gtest.h>

#include <algorithm>

#include "generation_loop.h"
#include "golden_fixture.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

constexpr std::int64_t kNewTokens = 20;
constexpr std::int64_t kRows = 3;

struct GenerationCase {
  std::string fixture;
  /// See Decoding.
  std::int64_t rotation_changes_at = 0;
};

std::ostream& operator<<(std::ostream& out, const GenerationCase& c) { return out << c.fixture; }

// Prompts of 7, 4 and 2 tokens.
Sequences prompts(std::int64_t vocab_size) {
  constexpr std::int64_t kPrompt = 7;
  const std::vector<std::int64_t> row_of_ones(kPrompt, 1);
  Sequences result = {Rows(kRows, row_of_ones), Rows(kRows, row_of_ones)};
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t i = 0; i < kPrompt; ++i) result.ids[row][i] = 5 + (7 * i + 31 * row) % (vocab_size - 5);
    for (std::int64_t i = 0; i < std::min<std::int64_t>(3 * row, 5); ++i) result.mask[row][i] = 0;
  }
  return result;
}

class Generation : public testing::TestWithParam<GenerationCase> {};

TEST_P(Generation, CacheGivesTheTokensOfRunningWithoutAndOfTransformers) {
  const TempFolder folder;
  const std::filesystem::path checkpoint = folder.path() / "checkpoint";
  synthesize(read_fixture(GetParam().fixture), checkpoint);
  const ExportedDecoder cached(checkpoint, "text-generation-with-past", folder.path() / "with_past.onnx");
  const ExportedDecoder plain(checkpoint, "text-generation", folder.path() / "plain.onnx");
  const std::int64_t change = GetParam().rotation_changes_at;

  Sequences sequences = prompts(cached.vocab_size());
  Decoding decoding(cached, kRows, change);
  for (std::int64_t step = 0; step < kNewTokens; ++step) {
    SCOPED_TRACE("token " + std::to_string(step));
    const std::vector<double> with = decoding.next_logits(sequences);
    NamedTensors none;
    const std::vector<double> without = plain.last_logits(sequences, 0, none);
    const std::vector<std::int64_t> tokens = most_likely(with, cached.vocab_size());
    ASSERT_EQ(tokens, most_likely(without, cached.vocab_size()));
    // Small random models may repeat a token, which says little: the scores say more.
    for (std::size_t i = 0; i < with.size(); ++i) ASSERT_NEAR(with[i], without[i], 1e-4) << "logit " << i;
    for (std::size_t row = 0; row < tokens.size(); ++row) {
      sequences.ids[row].push_back(tokens[row]);
      sequences.mask[row].push_back(1);
    }
  }

  const std::optional<Generated> expected = generated_by_transformers(GetParam().fixture);
  ASSERT_TRUE(expected) << "tests/generation has no line: see tools/make_generation.py";
  if (expected->greedy) {
    Rows greedy = last_columns(sequences.ids, kNewTokens);
    for (auto& row : greedy) row.resize(expected->greedy->at(0).size());
    EXPECT_EQ(greedy, *expected->greedy);
  }
  if (expected->beam) {
    const auto count = static_cast<std::int64_t>(expected->beam->at(0).size());
    EXPECT_EQ(beam_search(cached, prompts(cached.vocab_size()), 3, count, change), *expected->beam);
  }
}

// Every type, and what else is special in generation.
std::vector<GenerationCase> generation_cases() {
  std::vector<GenerationCase> cases = {{"phi3/text-generation-with-past+longrope", 16},
                                       {"falcon/text-generation-with-past+alibi"},
                                       {"qwen2/text-generation-with-past+sliding"}};
  for (const std::string& name : golden_fixtures()) {
    if (name.find("/text-generation-with-past") != name.npos && is_first_of_task(name))
      cases.push_back({name});
  }
  return cases;
}

std::string test_name(const testing::TestParamInfo<GenerationCase>& info) {
  std::string name = info.param.fixture.substr(0, info.param.fixture.find('/'));
  const std::size_t variant = info.param.fixture.find('+');
  if (variant != name.npos) name += "_" + info.param.fixture.substr(variant + 1);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Decoders, Generation, testing::ValuesIn(generation_cases()), test_name);

}  // namespace
}  // namespace onnxport::test
