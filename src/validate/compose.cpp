#include "validate/compose.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include "onnxport/error.h"
#include "onnxport/tensor.h"
#include "reference/interpreter.h"
#include "runtime/session.h"
#include "validate/cases.h"
#include "validate/lookups.h"

namespace onnxport::validate {
namespace {

constexpr const char* kEmbeds = "inputs_embeds";

using Run = std::function<NamedTensors(const ComposedPart& part, const NamedTensors& inputs)>;

bool encodes(const Component& component) {
  return std::any_of(component.interface.outputs.begin(), component.interface.outputs.end(),
                     [](const TensorSpec& output) { return output.name.ends_with("_features"); });
}
bool embeds(const Component& component) { return component.interface.has_output(kEmbeds); }
bool decodes(const Component& component) {
  const Interface& interface = component.interface;
  return interface.find_input(kEmbeds) != nullptr && interface.find_input("input_ids") == nullptr &&
         interface.find_input("attention_mask") != nullptr;
}

const ComposedPart& part_that(const std::vector<ComposedPart>& parts, bool (*is)(const Component&)) {
  return *std::find_if(parts.begin(), parts.end(),
                       [&](const ComposedPart& part) { return is(part.component); });
}

NamedTensors run_file(const ComposedPart& part, const NamedTensors& inputs) {
  return runtime::Session(part.file).run(inputs);
}

NamedTensors run_graph(const ComposedPart& part, const NamedTensors& inputs) {
  NamedTensors named;
  std::vector<reference::HostTensor> results = reference::interpret(part.graph, {inputs}).front();
  for (std::size_t i = 0; i < results.size(); ++i)
    named.emplace_back(part.graph.outputs()[i].first, reference::to_tensor(results[i]));
  return named;
}

Tensor in_dtype_of(const TensorSpec& input, const Tensor& tensor) {
  if (tensor.dtype == input.dtype) return tensor;
  return Tensor::from_doubles(input.dtype, tensor.shape, tensor.to_doubles());
}

// A prompt of one row: a few tokens, the placeholders, a few tokens.
std::vector<std::int64_t> make_prompt(std::int64_t placeholder, std::int64_t rows) {
  std::vector<std::int64_t> ids = {1, 5, 7};
  ids.insert(ids.end(), static_cast<std::size_t>(rows), placeholder);
  ids.insert(ids.end(), {9, 3, 11, 4});
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const bool is_text = i < 3 || i >= 3 + static_cast<std::size_t>(rows);
    if (is_text && ids[i] == placeholder) ids[i] = 2;
  }
  return ids;
}

// The inputs of the decoder that embed_tokens does not give: one row, nothing padded, an empty cache.
NamedTensors other_inputs(const Interface& interface, std::int64_t length, const NamedTensors& given) {
  NamedTensors made;
  for (const TensorSpec& input : interface.inputs) {
    if (find(given, input.name) != nullptr) continue;
    std::vector<std::int64_t> shape;
    const bool is_token_row = input.name == "attention_mask" || input.name == "position_ids";
    for (const Dim& dim : input.shape) {
      const std::int64_t symbolic = dim == Dim::symbol("batch_size") ? 1 : is_token_row ? length : 0;
      shape.push_back(dim.constant().value_or(symbolic));
    }
    Tensor tensor(input.dtype, shape);
    if (is_token_row) {
      std::vector<std::int64_t> values(static_cast<std::size_t>(tensor.numel()), 1);
      for (std::size_t i = 0; input.name == "position_ids" && i < values.size(); ++i)
        values[i] = static_cast<std::int64_t>(i) % length;
      tensor = Tensor::from_ints(input.dtype, shape, values);
    }
    made.emplace_back(input.name, std::move(tensor));
  }
  return made;
}

// As many rows as a check needs, because the interpreter of a large model takes long for each token, and as
// the decoder has positions for.
std::int64_t rows_of(const Tensor& features, const ComposedPart& decoder) {
  constexpr std::int64_t kEnough = 32;
  const std::int64_t width = features.shape.back();
  std::int64_t rows = width == 0 ? 0 : std::min(kEnough, features.numel() / width);
  const auto fits = [&](std::int64_t count) {
    const auto length = static_cast<std::int64_t>(make_prompt(0, count).size());
    NamedTensors inputs = {{kEmbeds, Tensor(features.dtype, {1, length, width})}};
    NamedTensors others = other_inputs(decoder.component.interface, length, inputs);
    inputs.insert(inputs.end(), others.begin(), others.end());
    return finds_all_rows(decoder.graph, inputs);
  };
  while (rows > 1 && !fits(rows)) --rows;
  return rows;
}

// For a table of tokens that writes the features itself: these, and no rows of others. Whether it does.
bool add_features(const Interface& table, const std::string& name, const Tensor& features,
                  NamedTensors& inputs) {
  bool writes = false;
  for (const TensorSpec& input : table.inputs) {
    if (!input.name.ends_with("_features")) continue;
    std::vector<std::int64_t> shape;
    for (const Dim& dim : input.shape) shape.push_back(dim.constant().value_or(0));
    const bool is_given = input.name == name;
    inputs.emplace_back(input.name,
                        is_given ? in_dtype_of(input, features) : Tensor(input.dtype, std::move(shape)));
    writes = writes || is_given;
  }
  return writes;
}

NamedTensors run_chain(const Run& run, const ComposedPart& encoder, const ComposedPart& table,
                       const ComposedPart& decoder, const NamedTensors& encoder_inputs) {
  const Tensor features = run(encoder, encoder_inputs).front().second;
  const std::int64_t rows = rows_of(features, decoder);
  const std::vector<std::int64_t> ids = make_prompt(encoder.placeholder, rows);
  const auto length = static_cast<std::int64_t>(ids.size());
  const TensorSpec& tokens = table.component.interface.inputs.front();
  NamedTensors of_table = {{tokens.name, Tensor::from_ints(tokens.dtype, {1, length}, ids)}};
  const std::string features_name = encoder.component.interface.outputs.front().name;
  const bool writes = add_features(table.component.interface, features_name, features, of_table);
  NamedTensors inputs;
  for (auto& [name, tensor] : run(table, of_table)) {
    const TensorSpec* taken = decoder.component.interface.find_input(name);
    if (taken == nullptr) continue;
    if (name == kEmbeds && !writes) {
      const std::int64_t width = tensor.shape.back();
      if (features.shape.back() != width) {
        throw ExportError(
            ErrorCode::shape,
            fmt::format("{} gives rows of {} numbers, and {} vectors of {}", encoder.file.filename().string(),
                        features.shape.back(), table.file.filename().string(), width));
      }
      std::vector<double> values = tensor.to_doubles();
      const std::vector<double> given = features.to_doubles();
      std::copy_n(given.begin(), rows * width, values.begin() + 3 * width);
      tensor = Tensor::from_doubles(tensor.dtype, tensor.shape, values);
    }
    inputs.emplace_back(name, in_dtype_of(*taken, tensor));
  }
  NamedTensors others = other_inputs(decoder.component.interface, length, inputs);
  inputs.insert(inputs.end(), others.begin(), others.end());
  return run(decoder, inputs);
}

}  // namespace

bool is_composed(const std::vector<Component>& components) {
  return std::any_of(components.begin(), components.end(), encodes) &&
         std::any_of(components.begin(), components.end(), embeds) &&
         std::any_of(components.begin(), components.end(), decodes);
}

ValidationReport check_composition(const std::vector<ComposedPart>& parts, double atol,
                                   NonFinite non_finite) {
  const auto start = std::chrono::steady_clock::now();
  const ComposedPart& table = part_that(parts, embeds);
  const ComposedPart& decoder = part_that(parts, decodes);
  ValidationReport report;
  report.file = decoder.file;
  report.atol = atol;
  for (const ComposedPart& encoder : parts) {
    if (!encodes(encoder.component)) continue;
    const NamedTensors inputs = input_cases(encoder.component.interface, encoder.graph).front().inputs;
    const auto chain = [&](const Run& run) { return run_chain(run, encoder, table, decoder, inputs); };
    const NamedTensors got = chain(run_file), expected = chain(run_graph);
    ValidationCase one{fmt::format("the features of {} in a prompt", encoder.file.filename().string()), {}};
    for (const auto& [name, tensor] : expected) {
      const Tensor* other = find(got, name);
      if (other == nullptr) {
        one.outputs.push_back({name, {}, tensor.shape, 0, atol});
      } else {
        one.outputs.push_back(compare_outputs(name, *other, tensor, atol, non_finite));
      }
    }
    report.cases.push_back(std::move(one));
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace onnxport::validate
