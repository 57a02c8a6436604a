// M2M-100: mBART with a table of sines at positions that skip padding. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/m2m_100/modeling_m2m_100.py
#include <cmath>

#include "models/bart.h"

namespace onnxport::models {
namespace {

// Sines and cosines side by side, as tensor2tensor lays them out; the row of the padding is 0.
Weight position_table(std::int64_t rows, std::int64_t width, std::int64_t pad) {
  const std::int64_t half = width / 2;
  std::vector<double> values(static_cast<std::size_t>(rows * width));
  const auto step = static_cast<float>(-std::log(10000.0) / static_cast<double>(half - 1));
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < half && row != pad; ++i) {
      const float angle = static_cast<float>(row) * std::exp(static_cast<float>(i) * step);
      values[static_cast<std::size_t>(row * width + i)] = std::sin(static_cast<double>(angle));
      values[static_cast<std::size_t>(row * width + half + i)] = std::cos(static_cast<double>(angle));
    }
  }
  return Weight::from_doubles(DType::f32, {rows, width}, values, "embed_positions.weights");
}

NamedValues forward(const Inputs& inputs, const Model& model, const OnnxConfig& onnx) {
  BartConfig c(model.config());
  c.encoder.norm_before = c.decoder.norm_before = true;
  c.embedding_norm = false;
  c.final_norm = true;
  c.logits_bias = false;
  const std::int64_t pad = c.pad_token_id.value_or(1);
  const Weight table = position_table(c.max_positions + 2, c.d_model, pad);
  c.positions = [table, pad](const Scope& side) -> BartConfig::Positions {
    side.ignore("embed_positions");
    return [table, pad](Value ids, const Dim& past) {
      const Value real = op::cast(op::ne(ids, static_cast<double>(pad)), DType::i64);
      const Value counted = op::add(op::cumsum(real, 1), op::size(ids.graph(), past));
      const Value positions = op::add(op::mul(counted, real), static_cast<double>(pad));
      return op::embedding(ids.graph().weight(table), positions);
    };
  };
  return forward_bart(inputs, model, onnx, c);
}

}  // namespace

void register_m2m_100(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "m2m_100", .tasks = nn::text2text_tasks(), .forward = forward});
}

}  // namespace onnxport::models
