/// config.json: typed access with class defaults and accounting; NormalizedConfig.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/export_macro.h"

namespace onnxport {

/// A key that a definition looked up, and a value that it got.
struct ReadKey {
  std::string path;        ///< of the object that has the key, empty for the whole file
  std::string model_type;  ///< of that object
  std::string key;
  std::string value;  ///< as JSON; null: neither value nor fallback; true for an object
};

/// A model's configuration: `config.json` over the defaults that the original class declares.
///
/// A lookup takes the value in the file, else the default of the class (a table generated from transformers,
/// or what a plugin registered), else the fallback given in the call; a key that has none of them throws
/// ExportError(bad_config). An explicit null is the None that the original class would hold: it takes the
/// fallback and never the default of the class.
///
/// Every lookup is accounted: a key that the class declares and nobody read fails the export when its value
/// is not the default, for a knob that nobody read is the commonest way to a wrong graph. Copies share the
/// accounting; it is not made for several threads.
class ONNXPORT_API PretrainedConfig {
 public:
  /// Reads `folder/config.json`. Throws ExportError(bad_config) when it is missing, broken or has no
  /// model_type.
  static PretrainedConfig from_pretrained(const std::filesystem::path& folder);
  /// From JSON text; `origin` names it in errors. `model_type` may be given where the text has none.
  static PretrainedConfig from_json(std::string_view text, std::string origin, std::string model_type = {});
  /// Gives a type (of a plugin) the defaults of its class, as a JSON object.
  static void register_class_defaults(const std::string& model_type, const std::string& json);

  const std::string& model_type() const;
  /// The file it came from, for errors.
  const std::string& origin() const;
  /// `architectures`, maybe empty.
  std::vector<std::string> architectures() const;
  /// Number of classes of a classification head: the size of `id2label`, else `num_labels`, else 2.
  std::int64_t num_labels() const;

  /// Is the key in the file or the class defaults, and not null? Counts as reading it only when false.
  bool has(std::string_view key) const;
  /// 768.0 is an integer; 0 and 1 are flags; an explicit null is a false flag, where no fallback is given.
  std::int64_t integer(std::string_view key, std::optional<std::int64_t> fallback = {}) const;
  double real(std::string_view key, std::optional<double> fallback = {}) const;
  bool flag(std::string_view key, std::optional<bool> fallback = {}) const;
  std::string string(std::string_view key, std::optional<std::string> fallback = {}) const;
  /// A bare value counts as a list of one.
  std::vector<std::int64_t> integers(std::string_view key) const;
  std::vector<double> reals(std::string_view key) const;
  std::vector<std::string> strings(std::string_view key) const;
  /// Integer or nothing (absent or null).
  std::optional<std::int64_t> maybe_integer(std::string_view key) const;
  std::optional<double> maybe_real(std::string_view key) const;
  std::optional<std::string> maybe_string(std::string_view key) const;
  /// A nested object with the defaults of its own class (`model_type` inside, or as given); where the file
  /// has none, the class defaults alone. Shares the accounting: in an object without a class (`rope_scaling`)
  /// every key is a knob that has to be read.
  PretrainedConfig sub(std::string_view key, std::string model_type = {}) const;
  /// The same file with another value for a key: JSON text. With an accounting of its own. Throws
  /// ExportError(invalid_argument) for text that is no JSON.
  PretrainedConfig with(std::string_view key, std::string_view value) const;
  /// The same values with an accounting of its own, for readers that do not build the graph.
  PretrainedConfig unaccounted() const;

  /// Declares keys that do not change the graph of this definition, whatever their value.
  void harmless(std::initializer_list<std::string_view> keys) const;
  /// Declared keys, in nested objects too, with a value other than the default that nobody read: `key = value
  /// (default …)`.
  std::vector<std::string> unread_knobs() const;
  /// Keys that the class does not declare and nobody read.
  std::vector<std::string> unknown_keys() const;

  /// The lookups so far, in nested objects too, but for harmless keys: sorted, each value of a key once.
  std::vector<ReadKey> read_keys() const;

  /// The JSON text as it was read.
  std::string text() const;
  struct Impl;  ///< opaque

 private:
  explicit PretrainedConfig(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

/// Names of the common quantities in one architecture's config, so that middle-end classes and dummy input
/// generators need not know the architecture: `num_layers` may be called `n_layer`, or lie in a nested object
/// (`text_config.hidden_size`). Lookups here do not count as reading: names and dummy inputs come from them,
/// no graph.
class ONNXPORT_API NormalizedConfig {
 public:
  using Names = std::map<std::string, std::string, std::less<>>;
  NormalizedConfig(const PretrainedConfig& config, Names names)
      : config_(config.unaccounted()), names_(std::move(names)) {}

  /// The same with some quantities under other keys.
  NormalizedConfig with_args(const Names& names) const;
  /// Integer value of a normalized quantity (`vocab_size`, `hidden_size`, `num_layers`,
  /// `num_attention_heads`, …).
  std::int64_t operator[](std::string_view quantity) const;
  std::optional<std::int64_t> maybe(std::string_view quantity) const;
  /// A quantity that may be a list; empty when absent or null.
  std::vector<std::int64_t> list(std::string_view quantity) const;
  const PretrainedConfig& config() const { return config_; }

 private:
  PretrainedConfig config_;
  Names names_;
};

/// vocab_size, hidden_size, num_layers (num_hidden_layers), num_attention_heads, eos_token_id.
ONNXPORT_API NormalizedConfig NormalizedTextConfig(const PretrainedConfig& config);
/// The same for an encoder and a decoder: encoder_num_layers (encoder_layers), decoder_num_layers
/// (decoder_layers), encoder_num_attention_heads, decoder_num_attention_heads, hidden_size (d_model).
ONNXPORT_API NormalizedConfig NormalizedSeq2SeqConfig(const PretrainedConfig& config);
/// image_size, num_channels, input_size.
ONNXPORT_API NormalizedConfig NormalizedVisionConfig(const PretrainedConfig& config);

}  // namespace onnxport
