/// The configuration of models of the library timm.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {

/// What config.json says about a model besides its architecture. timm builds a model from the arguments of
/// its architecture, which those in `model_args` replace. Every one of these must be read; null counts as
/// absent.
class TimmConfig {
 public:
  /// Throws ExportError(bad_config) for sizes that are not positive.
  explicit TimmConfig(const PretrainedConfig& config);

  /// The same model without its last layer.
  TimmConfig without_classes() const;

  const std::string& architecture() const { return architecture_; }
  const std::string& origin() const { return origin_; }
  std::int64_t num_classes() const { return num_classes_; }  ///< 0: the results are the pooled features
  std::int64_t num_channels() const { return num_channels_; }
  const nn::KernelSize& image() const { return image_; }  ///< of models that take one size, in pixels
  /// How features become one vector; `usual`: that of the architecture.
  std::string global_pool(const std::string& usual = "avg") const;

  /// The argument `key`, or that of the architecture.
  std::int64_t integer(const char* key, std::int64_t usual) const;
  /// The same, at least 1.
  std::int64_t positive(const char* key, std::int64_t usual) const;
  double real(const char* key, double usual) const;
  bool flag(const char* key, bool usual) const;
  std::string string(const char* key, const std::string& usual) const;
  /// One number, or a list.
  std::vector<std::int64_t> integers(const char* key, const std::vector<std::int64_t>& usual) const;
  /// The same: positive numbers, `count` of them.
  std::vector<std::int64_t> sizes(const char* key, const std::vector<std::int64_t>& usual,
                                  std::size_t count) const;
  /// Arguments that do not change the graph, whatever their value.
  void harmless(std::initializer_list<std::string_view> keys) const { args_.harmless(keys); }

  /// Throws ExportError(unsupported) with the origin in front.
  [[noreturn]] void refuse(const std::string& what) const;
  /// Throws ExportError(bad_config) with the origin in front.
  [[noreturn]] void fail(const std::string& what) const;

 private:
  std::string architecture_, origin_;
  PretrainedConfig args_;
  std::int64_t num_classes_ = 1000, num_channels_ = 3;
  nn::KernelSize image_ = {224, 224};
  std::string global_pool_;  // empty: that of the architecture
};

/// Of an architecture whose models take images of any size.
class TimmOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  DummyInputGenerators dummy_input_generators() const override;
  /// In smaller ones, the last stages would have no pixels.
  ImageSize smallest_image() const override { return {32, 32}; }
};

/// Of an architecture whose models take images of one size.
class FixedTimmOnnxConfig : public TimmOnnxConfig {
 public:
  using TimmOnnxConfig::TimmOnnxConfig;
  bool takes_any_image_size() const override { return false; }
};

}  // namespace onnxport::models
