#include "onnxport/file_inputs.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <string_view>
#include <utility>

#include "measure/axes.h"
#include "measure/id_bounds.h"
#include "measure/value_types.h"
#include "onnxport/dim.h"
#include "onnxport/dtype.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace {

using measure::Axes;
using measure::has_any;

/// Numbers that look random and depend on nothing but a name and a place.
class Numbers {
 public:
  explicit Numbers(std::string_view name) {
    for (const unsigned char c : name) seed_ = (seed_ ^ c) * 0x100000001b3ULL;
  }
  std::uint64_t operator()(std::size_t place) const {
    std::uint64_t x = seed_ + (place + 1) * 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }

 private:
  std::uint64_t seed_ = 0xcbf29ce484222325ULL;
};

/// Makes the values of one input.
class Values {
 public:
  Values(Axes& axes, std::map<std::string, std::int64_t> bounds) : axes_(axes), bounds_(std::move(bounds)) {}

  Tensor operator()(const ValueSummary& input, DType dtype, std::vector<std::int64_t> shape) {
    Tensor empty(dtype, shape);
    std::vector<std::int64_t> values(static_cast<std::size_t>(empty.numel()));
    const std::string name = text::lower(input.name);
    const Numbers numbers(input.name);
    if (is_float(dtype)) {
      constexpr std::uint64_t kSteps = 128;
      constexpr double kHalf = 64;
      std::vector<double> reals(values.size(), 1);
      if (!has_any(name, {"mask"})) {
        for (std::size_t i = 0; i < reals.size(); ++i)
          reals[i] = (static_cast<double>(numbers(i) % kSteps) - kHalf) / kHalf;
      }
      return Tensor::from_doubles(dtype, std::move(shape), reals);
    }
    if (dtype == DType::boolean) {
      const bool yes = name != "use_cache_branch" || axes_.past() > 0;
      std::ranges::fill(values, yes ? 1 : 0);
    } else {
      fill(input, name, shape, numbers, values);
    }
    return Tensor::from_ints(dtype, std::move(shape), values);
  }

 private:
  void fill(const ValueSummary& input, const std::string& name, const std::vector<std::int64_t>& shape,
            const Numbers& numbers, std::vector<std::int64_t>& values) {
    const auto bound = bounds_.find(input.name);
    const std::int64_t rows = bound == bounds_.end() ? kIds : std::min(bound->second, kIds);
    // The first ids stand for padding, the ends of texts, and the like.
    const std::int64_t first = rows > 2 * kSpecial ? kSpecial : 0;
    const auto last = static_cast<std::size_t>(shape.empty() ? 1 : std::max<std::int64_t>(shape.back(), 1));
    const auto each = [&](auto&& value) {
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(i);
    };
    if (has_any(name, {"mask", "label"})) {
      std::ranges::fill(values, 1);
    } else if (has_any(name, {"token_type", "segment", "to_keep"})) {
      std::ranges::fill(values, 0);
    } else if (name.ends_with("grid_thw")) {
      each([](std::size_t i) { return measure::kPatchGrid[i % std::size(measure::kPatchGrid)]; });
    } else if (name == "spatial_shapes") {
      std::ranges::fill(values, axes_.patch_side());
    } else if (has_any(name, {"position"})) {
      const std::int64_t start = axes_.past();
      const std::int64_t table = bound == bounds_.end() ? 0 : bound->second;
      each([&](std::size_t i) {
        const std::int64_t position = start + static_cast<std::int64_t>(i % last);
        return table > 0 ? position % table : position;
      });
    } else if (name == "bbox") {  // x and y of two corners
      each([](std::size_t i) { return i % 4 < 2 ? 1 : 2; });
    } else if (has_any(name, {"length", "seqlens", "seq_len"})) {
      const bool of_past = name.starts_with("past"), of_all = has_any(name, {"total", "seqlens_k"});
      const std::int64_t length = of_past ? axes_.past() : of_all ? axes_.total() : axes_.size_of(input.name);
      std::ranges::fill(values, name == "seqlens_k" ? length - 1 : length);  // the place of the last token
    } else {
      each([&](std::size_t i) {
        const auto span = static_cast<std::uint64_t>(std::max<std::int64_t>(rows - first, 1));
        return first + static_cast<std::int64_t>(numbers(i) % span);
      });
    }
  }

  static constexpr std::int64_t kIds = 100, kSpecial = 3;
  Axes& axes_;
  std::map<std::string, std::int64_t> bounds_;
};

/// Whether a shape is one that an input takes.
bool fits(const ValueSummary& input, const std::vector<std::int64_t>& shape) {
  if (input.shape.size() != shape.size()) return false;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    const std::string& extent = input.shape[axis];
    if (measure::is_number(extent) && extent != std::to_string(shape[axis])) return false;
  }
  return true;
}

Tensor converted(const Tensor& tensor, DType dtype) {
  if (tensor.dtype == dtype) return tensor;
  if (is_float(tensor.dtype) || is_float(dtype))
    return Tensor::from_doubles(dtype, tensor.shape, tensor.to_doubles());
  return Tensor::from_ints(dtype, tensor.shape, tensor.to_ints());
}

/// Tokens of a run: of the sequence that the file extends.
std::int64_t tokens_of(const NamedTensors& tensors) {
  for (const char* name : {"decoder_input_ids", "input_ids", "inputs_embeds", "decoder_inputs_embeds"}) {
    const Tensor* tensor = find(tensors, name);
    if (tensor == nullptr || tensor->shape.empty()) continue;
    if (is_float(tensor->dtype) && tensor->shape.back() > 0) return tensor->numel() / tensor->shape.back();
    return tensor->numel();
  }
  return 0;
}

DType dtype_of(const ValueSummary& input) {
  try {
    return parse_dtype(input.type);
  } catch (const ExportError&) {
    fail(ErrorCode::unsupported,
         "input '{}' is of type {}, for which no values can be made: expected numbers or booleans",
         input.name, input.type);
  }
}

}  // namespace

FileInputs make_file_inputs(const ModelSummary& model, const AxisSizes& given, const NamedTensors& like) {
  Axes axes(model, given);
  Values values(axes, measure::id_bounds(model.graph));
  FileInputs made;
  for (const ValueSummary& input : measure::given_inputs(model.graph)) {
    const DType dtype = dtype_of(input);
    if (const Tensor* other = find(like, input.name); other != nullptr && fits(input, other->shape)) {
      made.tensors.emplace_back(input.name, converted(*other, dtype));
      continue;
    }
    made.tensors.emplace_back(input.name, values(input, dtype, axes.shape_of(input)));
  }
  for (const std::string& name : axis_names(model)) {
    const auto size = axes.sizes().find(name);
    if (size != axes.sizes().end()) made.sizes.insert(*size);
  }
  made.tokens = tokens_of(made.tensors);
  return made;
}

std::vector<std::string> axis_names(const ModelSummary& model) {
  std::set<std::string> names;
  for (const ValueSummary& input : measure::given_inputs(model.graph)) {
    for (const std::string& text : input.shape) {
      try {
        for (const std::string& symbol : Dim::parse(text).symbols()) names.insert(symbol);
      } catch (const ExportError&) {
        names.insert(text);
      }
    }
  }
  names.erase("?");
  return {names.begin(), names.end()};
}

}  // namespace onnxport
