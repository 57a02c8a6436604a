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

/// A model's configuration: `config.json`, completed by the defaults that the original class declares.
///
/// A lookup returns the value in the file, or else the default of the class (from a table generated from
/// transformers, or registered by a plugin), or else the fallback given in the call. A key that has none of
/// them throws ExportError(bad_config). An explicit null is the None that the original class would hold: it
/// takes the fallback, never the default of the class, except for a list, which the class fills in. A key may
/// have another name in the file if the original class takes that name for it (its attribute_map).
///
/// Every lookup is recorded. The export fails if a key that the class declares was never read and its value
/// is not the default, because an unread setting is the most common cause of a wrong graph. Copies share this
/// accounting. It is not thread-safe.
class ONNXPORT_API PretrainedConfig {
 public:
  /// Reads `folder/config.json`. Throws ExportError(bad_config) when it is missing, broken or has no
  /// model_type.
  static PretrainedConfig from_pretrained(const std::filesystem::path& folder);
  /// From JSON text; `origin` names it in errors. `model_type` is used if the text has none.
  static PretrainedConfig from_json(std::string_view text, std::string origin, std::string model_type = {});
  /// Registers the class defaults of a type (of a plugin), as a JSON object.
  static void register_class_defaults(const std::string& model_type, const std::string& json);

  const std::string& model_type() const;
  /// The file it came from, for errors.
  const std::string& origin() const;
  /// Major version of transformers that saved the file; 4 if the file does not say. Versions 4 and 5 compute
  /// different things from some keys.
  std::int64_t transformers_major() const;
  /// `architectures`; may be empty.
  std::vector<std::string> architectures() const;
  /// Number of classes of a classification head: the size of `id2label`, or else `num_labels`, or else 2.
  std::int64_t num_labels() const;

  /// Whether the key is in the file or the class defaults, and not null. Counts as reading the key only if
  /// false.
  bool has(std::string_view key) const;
  /// Whether the file itself has the key, and not null. Counts as reading it like has().
  bool given(std::string_view key) const;
  /// 768.0 is an integer; 0 and 1 are flags; an explicit null is a false flag if no fallback is given.
  std::int64_t integer(std::string_view key, std::optional<std::int64_t> fallback = {}) const;
  double real(std::string_view key, std::optional<double> fallback = {}) const;
  bool flag(std::string_view key, std::optional<bool> fallback = {}) const;
  std::string string(std::string_view key, std::optional<std::string> fallback = {}) const;
  /// A bare value counts as a list of one.
  std::vector<std::int64_t> integers(std::string_view key) const;
  std::vector<double> reals(std::string_view key) const;
  std::vector<std::string> strings(std::string_view key) const;
  /// A list of lists.
  std::vector<std::vector<std::int64_t>> integer_lists(std::string_view key) const;
  /// A list of [strings, how often], written out: [[["a", "b"], 2], [["c"], 1]] is a, b, a, b, c.
  std::vector<std::string> repeated_strings(std::string_view key) const;
  /// Nothing if the key is absent or null. An integer may also be "auto", which counts as null.
  std::optional<std::int64_t> maybe_integer(std::string_view key) const;
  std::optional<double> maybe_real(std::string_view key) const;
  std::optional<std::string> maybe_string(std::string_view key) const;
  /// A nested object with the defaults of its own class (`model_type` inside, or as given if that is empty or
  /// unknown); if the file has none, only the class defaults. Shares the accounting. In an object without a
  /// class (`rope_scaling`), every key must be read. `key[0]`: the first object of a list of them.
  PretrainedConfig sub(std::string_view key, std::string model_type = {}) const;
  /// The same object as another class reads it. Shares the accounting.
  PretrainedConfig as(const std::string& model_type) const;
  /// A copy with another value for a key, given as JSON text, and with its own accounting. Throws
  /// ExportError(invalid_argument) if the text is not JSON.
  PretrainedConfig with(std::string_view key, std::string_view value) const;
  /// The same, but it shares the accounting.
  PretrainedConfig settled(std::string_view key, std::string_view value) const;
  /// A copy with its own accounting, for readers that do not build the graph.
  PretrainedConfig unaccounted() const;

  /// Declares keys that do not change the graph of this definition, whatever their value.
  void harmless(std::initializer_list<std::string_view> keys) const;
  /// Declared keys that nobody read and whose value is not the default, including those in nested objects:
  /// `key = value (default …)`.
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

/// Names of common quantities in the config of one architecture, so that middle-end classes and dummy input
/// generators need not know the architecture. `num_layers` may be called `n_layer`, or be in a nested object
/// (`text_config.hidden_size`). Lookups here do not count as reading a key, because names and dummy inputs
/// depend on them but no graph does.
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
  /// A quantity that may be a list; empty if absent or null.
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
