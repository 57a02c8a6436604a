/// Shared parts of Moonshine and its streaming successor: samples to text with rotary positions.
#pragma once

#include <cstdint>
#include <string>

#include "models/common/definition.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {

/// Samples to text: input_values and attention_mask [batch_size, samples], and decoder_input_ids of the whole
/// model.
class SamplesToTextOnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  using OnnxSeq2SeqConfigWithPast::OnnxSeq2SeqConfigWithPast;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;

 protected:
  virtual std::string samples_axis() const = 0;  ///< name of the length of the samples
  virtual std::string states_axis() const = 0;   ///< name of the length of the encoder's states
  /// Keys of the normalized config of the decoder.
  virtual NormalizedConfig::Names names() const = 0;
  /// Makes the inputs of the decoder.
  virtual std::shared_ptr<const DummyInputGenerator> decoder_generator() const;
};

struct MoonshineDecoderConfig {
  std::int64_t vocab_size, intermediate_size, layers;
  nn::HeadSizes heads;
  std::string activation;
  nn::RopeParameters rope;
  bool attention_bias, tied;

  /// `prefix` stands before the numbers of layers and heads. Throws ExportError(bad_config) for fewer heads
  /// of keys than of queries: the original has no place for that.
  MoonshineDecoderConfig(const PretrainedConfig& c, const std::string& prefix);
};

/// Head sizes with the keys num_attention_heads, num_key_value_heads (behind `prefix`) and head_dim.
nn::HeadSizes moonshine_heads(const PretrainedConfig& c, const std::string& prefix);

/// Hidden states [B, S, H]. Keys: embed_tokens, layers.{i}, norm.
Value moonshine_decode(const Scope& s, const MoonshineDecoderConfig& c, nn::Seq2SeqPass& pass);
/// Logits of hidden states. Keys: proj_out below `root`, or the table of tokens below `decoder`.
Value moonshine_logits(const Scope& root, const Scope& decoder, const MoonshineDecoderConfig& c,
                       Value hidden);

}  // namespace onnxport::models
