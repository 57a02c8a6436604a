/// Parts of diffusion transformers: norms that a condition modulates, and attention among the tokens of an
/// image and of a text together.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/timestep.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// Numbers that scale, shift and gate what a layer computes: the equal parts of linear(condition). Keys:
/// linear [parts * width, width]. (Peebles and Xie 2023)
class ONNXPORT_API Modulation {
 public:
  Modulation(const Scope& s, std::int64_t width, std::int64_t parts);
  /// condition [B, width], after its activation -> parts [B, 1, width]
  std::vector<Value> operator()(Value condition) const;

 private:
  std::string path_;
  std::int64_t parts_;
  Linear linear_;
};

/// normed * (1 + scale) + shift: the result of a norm [B, S, width]; scale and shift [B, 1, width].
ONNXPORT_API Value modulate(Value normed, Value scale, Value shift);
/// norm(x) * (1 + scale) + shift, with a layer norm that has no weights: x [B, S, width]; scale and shift
/// [B, 1, width].
ONNXPORT_API Value modulated_norm(Value x, Value scale, Value shift, double eps = 1e-6);

/// The part of a text in an attention.
enum class JointText : std::uint8_t {
  none,      ///< there are only tokens of the image
  attended,  ///< the text is attended to, but gets no result
  both,      ///< it gets a result too
};

/// Whether the result of an attention has a projection.
enum class JointOutput : std::uint8_t { projected, plain };

/// Which tokens come first.
enum class JointOrder : std::uint8_t { image_first, text_first };

struct JointAttentionParameters {
  std::int64_t width = 0, heads = 0, head_dim = 0;
  JointText text = JointText::both;
  JointOutput output = JointOutput::projected;
  JointOrder order = JointOrder::image_first;
  bool normed = false;  ///< queries and keys have an RMS norm in each head
  bool bias = true;     ///< of all projections
  double eps = 1e-6;    ///< of the norms
};

/// Attention among the tokens of an image, and those of a text if there are any (Esser et al. 2024). Keys:
/// to_q, to_k, to_v, to_out.0; for the text add_q_proj, add_k_proj, add_v_proj, to_add_out; with norms
/// norm_q, norm_k, norm_added_q, norm_added_k [head_dim].
/// (diffusers.models.attention_processor.JointAttnProcessor2_0)
class ONNXPORT_API JointAttention {
 public:
  JointAttention(const Scope& s, const JointAttentionParameters& p);

  struct Results {
    Value image;  ///< [B, I, width]
    Value text;   ///< [B, T, width]; absent if the text gets no result
  };
  /// image [B, I, width], text [B, T, width] or absent. `rope` and `mask` have the tokens in
  /// JointAttentionParameters::order.
  Results operator()(Value image, Value text = {}, const op::Rope& rope = {},
                     const op::AttentionMask& mask = {}) const;

 private:
  struct Projections {
    Linear query, key, value;
    std::optional<RmsNorm> query_norm, key_norm;
  };
  struct Projected {
    Value query, key, value;
  };
  Projected project(const Projections& by, Value x) const;

  std::string path_;
  JointAttentionParameters p_;
  Projections image_;
  std::optional<Projections> text_;
  std::optional<Linear> output_, text_output_;
};

/// net.2(gelu(net.0.proj(x))) with the tanh approximation, four times as wide inside.
/// (diffusers.models.attention.FeedForward with gelu-approximate)
ONNXPORT_API Mlp tanh_feed_forward(const Scope& s, std::int64_t width);

/// The condition of diffusion transformers: the step, maybe the scale of guidance, and one vector of the
/// text. Keys: timestep_embedder, guidance_embedder, text_embedder, with linear_1 and linear_2 in each.
/// (diffusers.models.embeddings.CombinedTimestepTextProjEmbeddings)
class ONNXPORT_API StepAndText {
 public:
  StepAndText(const Scope& s, std::int64_t width, std::int64_t text, bool guidance);
  /// step [B], text [B, text], guidance [B] or absent -> [B, width]
  Value operator()(Value step, Value text, Value guidance = {}) const;

 private:
  std::string path_;
  SinusoidsEmbedding step_;
  StepEmbedding text_;
  std::optional<SinusoidsEmbedding> guidance_;
};

}  // namespace onnxport::nn
