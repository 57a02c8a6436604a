/// Shared parts of the Mamba types.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "models/common/gguf_layout.h"
#include "models/decoders/common/hybrid.h"
#include "onnxport/model.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/mamba.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::models {

/// A decoder of mixers alone. It knows no positions.
class MambaOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  bool takes_positions() const override { return false; }
  /// Those of nn::Mamba.
  std::vector<StateSpec> layer_states(std::int64_t layer) const override;
};

/// hidden_size, intermediate_size or expand, state_size, conv_kernel, time_step_rank, hidden_act, use_bias,
/// use_conv_bias.
nn::MambaParameters mamba_parameters(const PretrainedConfig& config);

/// Makes the mixer of a layer.
using MakeMixer = std::function<nn::Mixer(const Scope& s, std::int64_t layer)>;
/// x + mixer(norm(x)) in all layers. Keys: backbone.embeddings, backbone.layers.{i}.{norm,mixer},
/// backbone.norm_f, lm_head. `tied`: the default of tie_word_embeddings.
NamedValues forward_mamba(const Inputs& inputs, const Model& model, const Component& component, bool tied,
                          const MakeMixer& make_mixer);
/// The same with a configuration made from the model's.
NamedValues forward_mamba(const Inputs& inputs, const Model& model, const Component& component,
                          const PretrainedConfig& config, bool tied, const MakeMixer& make_mixer);

/// The names of such a checkpoint.
KeyNames mamba_key_names();
/// GGUF files of such a checkpoint, whose mixers have these tensors.
GgufLayout mamba_gguf(std::string architecture, std::string original_class,
                      const std::function<GgufTensors(const std::string& mixer)>& tensors);
/// Mamba, and Falcon Mamba, which normalizes (`normed`) what its states are updated and read with.
GgufLayout plain_mamba_gguf(std::string original_class, bool normed);
/// The tensors of nn::Mamba and of nn::Mamba2 below `mixer`. The converter stores the decays themselves.
GgufTensors gguf_mamba(const std::string& mixer);
GgufTensors gguf_mamba2(const std::string& mixer);
/// Adds the tensors and the metadata of nn::Mamba2 to the layout of a hybrid whose mixers are
/// `model.layers.{}.mamba`, as mamba2_sizes() reads them.
void add_gguf_mamba2(GgufLayout& layout);

}  // namespace onnxport::models
