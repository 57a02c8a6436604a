#include "models/timm/common/timm_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"

namespace onnxport::models {
namespace {

PretrainedConfig arguments(const PretrainedConfig& config) {
  config.harmless({"model_args"});  // its keys are read one by one
  return config.has("model_args") ? config.sub("model_args")
                                  : PretrainedConfig::from_json("{}", config.origin(), "model_args");
}

// What the weights were made for. In old files, it is not an object of its own.
PretrainedConfig pretrained(const PretrainedConfig& config) {
  const PretrainedConfig reader = config.unaccounted();
  return reader.has("pretrained_cfg") ? reader.sub("pretrained_cfg") : reader;
}

nn::KernelSize size_of(const std::vector<std::int64_t>& numbers) { return {numbers.front(), numbers.back()}; }

class TimmImages : public DummyFloatInputGenerator {
 public:
  bool supports_input(std::string_view name) const override { return name == "pixel_values"; }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const TimmConfig c(context.normalized.config());
    nn::KernelSize size = c.image();
    if (shapes.any_image_size && context.axis(name, 2) != nullptr) size = {shapes.height, shapes.width};
    return {context.float_dtype, {shapes.batch_size, c.num_channels(), size.height, size.width}};
  }
};

}  // namespace

TimmConfig::TimmConfig(const PretrainedConfig& config)
    : architecture_(config.string("architecture")), origin_(config.origin()), args_(arguments(config)) {
  architecture_ = architecture_.substr(0, architecture_.find('.'));
  // Copies of what pretrained_cfg and model_args say, names of classes, and how images are prepared.
  config.harmless({"num_classes", "num_features", "global_pool", "pretrained_cfg", "label_names",
                   "label_descriptions", "labels"});
  // Of training, and of loading other files.
  harmless({"drop_rate", "drop_path_rate", "drop_block_rate", "proj_drop_rate", "attn_drop_rate",
            "pos_drop_rate", "patch_drop_rate", "zero_init_last", "weight_init", "fix_init",
            "head_init_scale", "bn_momentum", "memory_efficient", "pretrained_strict", "scriptable",
            "exportable", "no_jit"});

  const PretrainedConfig made_for = pretrained(config);
  std::vector<std::int64_t> input = {3, 224, 224};
  if (made_for.has("input_size")) input = made_for.integers("input_size");
  if (input.size() != 3) fail(fmt::format("input_size has {} numbers, expected 3", input.size()));
  const PretrainedConfig reader = config.unaccounted();
  std::int64_t classes = made_for.integer("num_classes", 1000);
  classes = std::max<std::int64_t>(0, reader.has("num_classes") ? reader.integer("num_classes") : classes);

  num_classes_ = integer("num_classes", classes);
  num_channels_ = integer("in_chans", input[0]);
  // The argument fixes the size of models that take one size only, and says nothing for others.
  const std::vector<std::int64_t> size = integers("img_size", {input[1], input[2]});
  if (size.empty() || size.size() > 2) fail(fmt::format("img_size has {} numbers, expected 2", size.size()));
  image_ = size_of(size);
  global_pool_ = string("global_pool", made_for.string("global_pool", ""));
  constexpr std::int64_t kLargest = 1 << 20;
  const std::initializer_list<std::int64_t> all = {num_channels_, image_.height, image_.width};
  if (num_classes_ < 0 || std::min(all) < 1 || std::max(all) > kLargest) {
    fail(fmt::format("{} classes and images of {} x {} x {}, expected positive numbers", num_classes_,
                     num_channels_, image_.height, image_.width));
  }
}

TimmConfig TimmConfig::without_classes() const {
  TimmConfig other = *this;
  other.num_classes_ = 0;
  return other;
}

std::string TimmConfig::global_pool(const std::string& usual) const {
  return global_pool_.empty() ? usual : global_pool_;
}

std::int64_t TimmConfig::integer(const char* key, std::int64_t usual) const {
  return args_.integer(key, usual);
}

std::int64_t TimmConfig::positive(const char* key, std::int64_t usual) const {
  const std::int64_t value = integer(key, usual);
  if (value < 1) fail(fmt::format("model_args.{} is {}, expected at least 1", key, value));
  return value;
}

double TimmConfig::real(const char* key, double usual) const { return args_.real(key, usual); }

bool TimmConfig::flag(const char* key, bool usual) const { return args_.flag(key, usual); }

std::string TimmConfig::string(const char* key, const std::string& usual) const {
  return args_.string(key, usual);
}

std::vector<std::int64_t> TimmConfig::integers(const char* key,
                                               const std::vector<std::int64_t>& usual) const {
  return args_.has(key) ? args_.integers(key) : usual;
}

std::vector<std::int64_t> TimmConfig::sizes(const char* key, const std::vector<std::int64_t>& usual,
                                            std::size_t count) const {
  std::vector<std::int64_t> list = integers(key, usual);
  if (list.size() == 1) list.resize(count, list.front());
  const bool positive = std::all_of(list.begin(), list.end(), [](std::int64_t n) { return n > 0; });
  if (list.size() != count || !positive || count == 0) {
    fail(fmt::format("model_args.{} is [{}], expected {} positive numbers", key, fmt::join(list, ", "),
                     count));
  }
  return list;
}

void TimmConfig::refuse(const std::string& what) const {
  throw ExportError(ErrorCode::unsupported, fmt::format("{}: {}", origin_, what));
}

void TimmConfig::fail(const std::string& what) const {
  throw ExportError(ErrorCode::bad_config, fmt::format("{}: {}", origin_, what));
}

DummyInputGenerators TimmOnnxConfig::dummy_input_generators() const {
  return {std::make_shared<const TimmImages>()};
}

}  // namespace onnxport::models
