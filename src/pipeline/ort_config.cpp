#include "pipeline/ort_config.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/json.h"
#include "support/fail.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// The object `part` of a file, read key by key.
class Settings {
 public:
  Settings(const fs::path& path, const char* part)
      : path_(fs::is_directory(path) ? path / pipeline::kOrtConfig : path), part_(part) {
    whole_ = config::parse_json(config::read_json_text(path_), path_.string());
    if (!whole_.is_object() || !whole_.contains(part) || !whole_[part].is_object() || whole_[part].empty())
      fail(ErrorCode::bad_config, "{}: '{}' is missing or empty, expected an object", path_.string(), part);
    values_ = whole_[part];
  }

  std::string file() const { return path_.string(); }

  /// The value of a key of this type, which is then known.
  template <class T>
  T get(const char* key, T otherwise) {
    known_.emplace_back(key);
    if (!values_.contains(key)) return otherwise;
    return convert<T>(values_[key], fmt::format("{}.{}", part_, key));
  }
  template <class T>
  T get_outside(const char* key, T otherwise) const {
    return whole_.contains(key) ? convert<T>(whole_[key], key) : otherwise;
  }
  void has_no_effect(std::initializer_list<const char*> keys) {
    known_.insert(known_.end(), keys.begin(), keys.end());
  }

  [[noreturn]] void refuse(ErrorCode code, const char* key, const std::string& expected) const {
    fail(code, "{}: {}.{} is {}, {}", path_.string(), part_, key, config::brief(values_[key]), expected);
  }

  void expect_no_more() const {
    for (const auto& [key, value] : values_.items()) {
      if (std::ranges::find(known_, key) == known_.end())
        fail(ErrorCode::bad_config, "{}: {}.{} is not a setting; known: {}", path_.string(), part_, key,
             fmt::join(known_, ", "));
    }
  }

 private:
  template <class T>
  T convert(const json& value, const std::string& name) const {
    try {
      return value.get<T>();
    } catch (const json::exception&) {
      fail(ErrorCode::bad_config, "{}: {} is {}, which is of another type than expected", path_.string(),
           name, config::brief(value));
    }
  }

  fs::path path_;
  std::string part_;
  json whole_, values_;
  std::vector<std::string> known_;
};

Symmetry symmetry(bool symmetric) { return symmetric ? Symmetry::symmetric : Symmetry::asymmetric; }

void check_operators(const Settings& settings, const std::vector<std::string>& operators) {
  const std::vector<std::string> known = DynamicQuantization().operators;
  for (const std::string& op : operators) {
    if (std::ranges::find(known, op) != known.end()) continue;
    fail(ErrorCode::unsupported,
         "{}: quantization.operators_to_quantize has '{}', which has no dynamic form; "
         "known: {}",
         settings.file(), op, fmt::join(known, ", "));
  }
}

}  // namespace

DynamicQuantization quantization_preset(std::string_view name) {
  DynamicQuantization preset;
  if (name == "tensorrt") {
    fail(ErrorCode::unsupported,
         "--tensorrt asks for static quantization, which needs calibration data: use another preset, or "
         "--optimize O2 of 'onnxport export onnx'");
  }
  if (name == "avx2") {
    preset.weight_dtype = DType::u8;
  } else if (name != "arm64" && name != "avx512" && name != "avx512_vnni" && name != "ppc64le") {
    fail(ErrorCode::invalid_argument,
         "'{}' is no preset of quantization, expected arm64, avx2, avx512, avx512_vnni or ppc64le", name);
  }
  return preset;
}

QuantizeOptions read_ort_config(const fs::path& path) {
  Settings settings(path, "quantization");
  if (settings.get("is_static", false)) {
    settings.refuse(ErrorCode::unsupported, "is_static",
                    "but static quantization needs calibration data; expected false");
  }
  if (settings.get<std::string>("mode", "IntegerOps") != "IntegerOps")
    settings.refuse(ErrorCode::unsupported, "mode", "expected \"IntegerOps\"");
  if (settings.get<std::string>("activations_dtype", "QUInt8") != "QUInt8")
    settings.refuse(ErrorCode::unsupported, "activations_dtype", "expected \"QUInt8\"");
  QuantizeOptions options;
  DynamicQuantization& how = options.quantization;
  const auto dtype = settings.get<std::string>("weights_dtype", "QInt8");
  if (dtype != "QInt8" && dtype != "QUInt8")
    settings.refuse(ErrorCode::unsupported, "weights_dtype", "expected \"QInt8\" or \"QUInt8\"");
  how.weight_dtype = dtype == "QInt8" ? DType::i8 : DType::u8;
  how.weights = symmetry(settings.get("weights_symmetric", true));
  how.tables = symmetry(settings.get("activations_symmetric", false));
  how.per_channel = settings.get("per_channel", false);
  how.reduce_range = settings.get("reduce_range", false);
  const auto operators = settings.get<std::vector<std::string>>("operators_to_quantize", {});
  check_operators(settings, operators);
  if (!operators.empty()) how.operators = operators;
  how.nodes = settings.get<std::vector<std::string>>("nodes_to_quantize", {});
  how.excluded_nodes = settings.get<std::vector<std::string>>("nodes_to_exclude", {});
  // Those of pairs of QuantizeLinear and DequantizeLinear, which are for static quantization.
  settings.has_no_effect(
      {"format", "qdq_add_pair_to_weight", "qdq_dedicated_pair", "qdq_op_type_per_channel_support_to_axis"});
  settings.expect_no_more();
  options.external_data = settings.get_outside("use_external_data_format", false);
  return options;
}

std::string optimization_level(const fs::path& path) {
  Settings settings(path, "optimization");
  if (settings.get("fp16", false)) return "O4";
  if (settings.get("enable_gelu_approximation", false)) return "O3";
  const bool fused = settings.get("enable_transformers_specific_optimizations", true);
  return fused && settings.get("optimization_level", 1) > 1 ? "O2" : "O1";
}

}  // namespace onnxport

namespace onnxport::pipeline {

std::string ort_config_text(const QuantizeOptions& options) {
  const DynamicQuantization& how = options.quantization;
  const json quantization = {
      {"activations_dtype", "QUInt8"},
      {"activations_symmetric", how.tables == Symmetry::symmetric},
      {"format", "QOperator"},
      {"is_static", false},
      {"mode", "IntegerOps"},
      {"nodes_to_exclude", how.excluded_nodes},
      {"nodes_to_quantize", how.nodes},
      {"operators_to_quantize", how.operators},
      {"per_channel", how.per_channel},
      {"qdq_add_pair_to_weight", false},
      {"qdq_dedicated_pair", false},
      {"qdq_op_type_per_channel_support_to_axis", {{"MatMul", 1}}},
      {"reduce_range", how.reduce_range},
      {"weights_dtype", how.weight_dtype == DType::i8 ? "QInt8" : "QUInt8"},
      {"weights_symmetric", how.weights == Symmetry::symmetric},
  };
  const json config = {
      {"one_external_file", true},
      {"opset", nullptr},
      {"optimization", json::object()},
      {"quantization", quantization},
      {"use_external_data_format", options.external_data},
  };
  return config.dump(2) + "\n";
}

}  // namespace onnxport::pipeline
