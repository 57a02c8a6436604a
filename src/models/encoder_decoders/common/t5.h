/// Shared parts of T5 and mT5.
#pragma once

#include "onnxport/middle_end.h"
#include "onnxport/model.h"

namespace onnxport::models {

class T5OnnxConfig : public TextSeq2SeqOnnxConfig {
 public:
  using TextSeq2SeqOnnxConfig::TextSeq2SeqOnnxConfig;
  NormalizedConfig normalized_config() const override {
    const auto decoder = config().unaccounted().maybe_integer("num_decoder_layers");
    return NormalizedSeq2SeqConfig(config()).with_args(
        {{"encoder_num_layers", "num_layers"},
         {"decoder_num_layers", decoder ? "num_decoder_layers" : "num_layers"},
         {"encoder_num_attention_heads", "num_heads"},
         {"decoder_num_attention_heads", "num_heads"},
         {"head_dim", "d_kv"}});
  }
};

/// The table of tokens under all its names.
KeyNames t5_key_names();

NamedValues forward_t5(const Inputs& inputs, const Model& model, const Component& component);

}  // namespace onnxport::models
