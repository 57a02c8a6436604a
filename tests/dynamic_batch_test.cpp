// Embedding models at other batches and lengths than those of their fixtures: the embedding of a text must
// not depend on the texts beside it, nor on how far it is padded.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/plan.h"
#include "onnxport/tasks_manager.h"
#include "runtime/session.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

using Text = std::vector<std::int64_t>;

class DynamicBatch : public testing::TestWithParam<std::string> {
 protected:
  DynamicBatch() {
    synthesize(fixture_, folder_.path() / "checkpoint");
    const Model model =
        TasksManager::instance().get_model_from_task(fixture_.task, folder_.path() / "checkpoint");
    const ExportPlan plan = make_plan(model, {.variant = fixture_.variant});
    inputs_ = plan.component("model").interface.input_names();
    export_onnx(model, plan.component("model"), file());
    pad_token_ = model.config().unaccounted().maybe_integer("pad_token_id").value_or(0);
  }
  std::filesystem::path file() const { return folder_.path() / "model.onnx"; }
  /// Texts of these lengths. Their tokens are no special ones.
  static std::vector<Text> texts(const std::vector<std::int64_t>& lengths) {
    std::vector<Text> all;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      Text& text = all.emplace_back();
      for (std::int64_t k = 0; k < lengths[i]; ++k)
        text.push_back(10 + (7 * k + 11 * static_cast<std::int64_t>(i)) % 40);
    }
    return all;
  }
  /// All texts in one batch, padded on the right, as servers of embeddings give them.
  NamedTensors embed(const runtime::Session& session, const std::vector<Text>& batch) const {
    std::size_t longest = 0;
    for (const Text& text : batch) longest = std::max(longest, text.size());
    Text ids, mask;
    for (const Text& text : batch) {
      ids.insert(ids.end(), text.begin(), text.end());
      ids.resize(ids.size() + longest - text.size(), pad_token_);
      mask.insert(mask.end(), text.size(), 1);
      mask.resize(ids.size(), 0);
    }
    const std::vector<std::int64_t> shape = {static_cast<std::int64_t>(batch.size()),
                                             static_cast<std::int64_t>(longest)};
    NamedTensors inputs;
    for (const std::string& name : inputs_) {
      const Text zeros(ids.size(), 0);
      const Text& values = name == "input_ids" ? ids : name == "attention_mask" ? mask : zeros;
      EXPECT_TRUE(&values != &zeros || name == "token_type_ids") << name;
      inputs.emplace_back(name, Tensor::from_ints(DType::i64, shape, values));
    }
    return session.run(inputs);
  }
  /// The row of a batch must be the text alone, as far as it goes.
  void expect_same(const NamedTensors& batch, std::size_t row, const NamedTensors& alone) const {
    ASSERT_EQ(batch.size(), alone.size());
    for (const auto& [name, expected] : alone) {
      const Tensor* all = find(batch, name);
      ASSERT_NE(all, nullptr) << name;
      const std::vector<double> values = all->to_doubles(), wanted = expected.to_doubles();
      const std::size_t width = values.size() / static_cast<std::size_t>(all->shape[0]);
      ASSERT_LE(wanted.size(), width) << name;
      for (std::size_t i = 0; i < wanted.size(); ++i)
        ASSERT_NEAR(values[row * width + i], wanted[i], 1e-5 * std::max(1.0, std::abs(wanted[i])))
            << name << ", element " << i << " of row " << row;
    }
  }

 private:
  const GoldenFixture fixture_ = read_fixture(GetParam());
  const TempFolder folder_;
  std::vector<std::string> inputs_;
  std::int64_t pad_token_ = 0;
};

TEST_P(DynamicBatch, TextsDoNotSeeEachOther) {
  const runtime::Session session(file(), {.intra_op_threads = 1});
  for (const std::vector<std::int64_t>& lengths :
       {std::vector<std::int64_t>{13}, {1}, {5, 5, 5}, {13, 6, 1}, {2, 9, 4, 9, 3, 7, 1}}) {
    const std::vector<Text> batch = texts(lengths);
    const NamedTensors together = embed(session, batch);
    for (const auto& [name, tensor] : together)
      ASSERT_EQ(tensor.shape[0], static_cast<std::int64_t>(batch.size())) << name;
    for (std::size_t i = 0; i < batch.size(); ++i) expect_same(together, i, embed(session, {batch[i]}));
  }
}

std::vector<std::string> embedding_models() {
  std::vector<std::string> names = golden_fixtures();
  std::erase_if(names, [](const std::string& name) {
    // CLIP also takes images, and a fixture of another task has no vector of the whole text.
    return !name.starts_with("sentence-transformers/") || name.ends_with("+clip") ||
           name.find("/fill-mask") != std::string::npos;
  });
  // Encoders alone, of which a server pools the states.
  for (const char* type :
       {"albert", "bert", "camembert", "distilbert", "electra", "eurobert", "gte", "jina_embeddings_v3",
        "modernbert", "mpnet", "nomic_bert", "roberta", "xlm-roberta"})
    names.push_back(fmt::format("{}/feature-extraction", type));
  return names;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DynamicBatch, testing::ValuesIn(embedding_models()),
                         [](const auto& fixture) {
                           std::string name = fixture.param;
                           for (char& c : name)
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                           return name;
                         });

}  // namespace
}  // namespace onnxport::test
