#include "validate/compact.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace onnxport::validate {
namespace {

using Indices = std::vector<std::int64_t>;

// A token's place among all of its row, and among the tokens that are not padding.
struct Move {
  std::int64_t padded, compact;
};

// Rows of a batch with their tokens at the front.
struct Rows {
  Indices rows;            // of the batch
  std::int64_t past = 0;   // P, padding included
  std::int64_t added = 0;  // S
  std::int64_t compact_past = 0, compact_added = 0;
  std::vector<std::vector<Move>> in_past, in_added, in_all;  // by row
};

Rows compact_rows(const Tensor& mask, std::int64_t added, Indices rows) {
  const std::vector<std::int64_t> real = mask.to_ints();
  const std::int64_t total = mask.shape[1];
  Rows made{.rows = std::move(rows), .past = total - added, .added = added};
  for (const std::int64_t row : made.rows) {
    auto& past = made.in_past.emplace_back();
    auto& fresh = made.in_added.emplace_back();
    auto& all = made.in_all.emplace_back();
    for (std::int64_t i = 0; i < total; ++i) {
      if (real[static_cast<std::size_t>(row * total + i)] == 0) continue;
      auto& part = i < made.past ? past : fresh;
      part.push_back({i < made.past ? i : i - made.past, static_cast<std::int64_t>(part.size())});
      all.push_back({i, static_cast<std::int64_t>(all.size())});
    }
    made.compact_past = std::max(made.compact_past, static_cast<std::int64_t>(past.size()));
    made.compact_added = std::max(made.compact_added, static_cast<std::int64_t>(fresh.size()));
  }
  return made;
}

// Where the elements of one place on an axis lie: `outer` runs of `inner` bytes.
struct Layout {
  Layout(const Tensor& tensor, std::size_t axis)
      : extent(tensor.shape[axis]), inner(static_cast<std::int64_t>(size_of(tensor.dtype))) {
    for (std::size_t i = 1; i < axis; ++i) outer *= tensor.shape[i];
    for (std::size_t i = axis + 1; i < tensor.shape.size(); ++i) inner *= tensor.shape[i];
  }
  std::int64_t at(std::int64_t row, std::int64_t run, std::int64_t place) const {
    return ((row * outer + run) * extent + place) * inner;
  }
  std::int64_t extent, inner, outer = 1;
};

void copy_place(const Tensor& from, std::int64_t from_row, std::int64_t from_place, Tensor& to,
                std::int64_t to_row, std::int64_t to_place, std::size_t axis) {
  const Layout source(from, axis), target(to, axis);
  for (std::int64_t run = 0; run < source.outer; ++run) {
    std::memcpy(to.data.data() + target.at(to_row, run, to_place),
                from.data.data() + source.at(from_row, run, from_place),
                static_cast<std::size_t>(source.inner));
  }
}

// The rows of an input, with its tokens at the front of an axis of this extent; zeros behind them.
Tensor gathered(const Tensor& input, const Rows& rows, const std::vector<std::vector<Move>>& moves,
                std::size_t axis, std::int64_t extent) {
  std::vector<std::int64_t> shape = input.shape;
  shape[0] = static_cast<std::int64_t>(rows.rows.size());
  shape[axis] = extent;
  Tensor made(input.dtype, std::move(shape));
  for (std::size_t i = 0; i < rows.rows.size(); ++i) {
    for (const Move& move : moves[i])
      copy_place(input, rows.rows[i], move.padded, made, static_cast<std::int64_t>(i), move.compact, axis);
  }
  return made;
}

Tensor mask_of(const Tensor& mask, const Rows& rows) {
  const std::int64_t total = rows.compact_past + rows.compact_added;
  std::vector<std::int64_t> values;
  for (const auto& all : rows.in_all) {
    for (std::int64_t i = 0; i < total; ++i)
      values.push_back(i < static_cast<std::int64_t>(all.size()) ? 1 : 0);
  }
  return Tensor::from_ints(mask.dtype, {static_cast<std::int64_t>(rows.rows.size()), total}, values);
}

NamedTensors inputs_of(const NamedTensors& inputs, const Rows& rows) {
  NamedTensors made;
  for (const auto& [name, tensor] : inputs) {
    if (name == "attention_mask") {
      made.emplace_back(name, mask_of(tensor, rows));
    } else if (tensor.shape.size() == 4) {
      made.emplace_back(name, gathered(tensor, rows, rows.in_past, 2, rows.compact_past));
    } else {
      made.emplace_back(name, gathered(tensor, rows, rows.in_added, 1, rows.compact_added));
    }
  }
  return made;
}

// Puts the results of these rows where their tokens were. False if they have an unexpected shape.
bool put_back(const Tensor& got, const Rows& rows, Tensor& whole) {
  const bool is_cache = whole.shape.size() == 4;
  const std::size_t axis = is_cache ? 2 : 1;
  std::vector<std::int64_t> shape = whole.shape;
  shape[0] = static_cast<std::int64_t>(rows.rows.size());
  shape[axis] = rows.compact_added + (is_cache ? rows.compact_past : 0);
  if (got.shape != shape || got.dtype != whole.dtype) return false;
  for (std::size_t i = 0; i < rows.rows.size(); ++i) {
    for (const Move& move : is_cache ? rows.in_all[i] : rows.in_added[i])
      copy_place(got, static_cast<std::int64_t>(i), move.compact, whole, rows.rows[i], move.padded, axis);
  }
  return true;
}

}  // namespace

bool counts_tokens(const GraphSummary& graph) {
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [](const NodeSummary& node) {
    return node.op_type == "ReduceSum" && !node.inputs.empty() && node.inputs[0] == "attention_mask";
  });
}

NamedTensors run_compacted(const runtime::Session& session, const NamedTensors& inputs,
                           const std::vector<std::string>& outputs, const NamedTensors& expected) {
  const Tensor& mask = *find(inputs, "attention_mask");
  const std::int64_t added = find(inputs, "input_ids")->shape[1];
  Indices all(static_cast<std::size_t>(mask.shape[0]));
  std::iota(all.begin(), all.end(), 0);
  std::vector<Indices> batches = {all};
  if (mask.shape[1] > added && added > 1) {
    batches.clear();
    for (const std::int64_t row : all) batches.push_back({row});
  }
  NamedTensors whole = expected;
  for (Indices& batch : batches) {
    const Rows rows = compact_rows(mask, added, std::move(batch));
    NamedTensors got = session.run(inputs_of(inputs, rows), outputs);
    for (auto& [name, tensor] : got) {
      // `name = name`, because clang before 16 cannot capture a structured binding.
      const auto it = std::find_if(whole.begin(), whole.end(),
                                   [&name = name](const auto& one) { return one.first == name; });
      if (it == whole.end() || !put_back(tensor, rows, it->second)) return got;
    }
  }
  return whole;
}

}  // namespace onnxport::validate
