/// Blocks of decoders, and their stack. A block consists of any norms, attention and feed-forward. A decoder
/// with another block defines its own function.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// [..., H] -> [..., H]
using Norm = std::function<Value(Value)>;
/// x [B, S, H] -> [B, S, H]; takes and keeps the states of its layer.
using Mixer = std::function<Value(Value x, DecoderPass& pass)>;
/// x [B, S, H] -> [B, S, H]: one layer of a decoder.
using Block = std::function<Value(Value x, DecoderPass& pass)>;

/// x + attention(norm(x)), then x + mlp(norm(x)). (Xiong et al. 2020; GPT-2, Llama)
struct ONNXPORT_API PreNormBlock {
  Norm before_attention;
  Mixer attention;
  Norm before_mlp;
  FeedForward mlp;
  Value operator()(Value x, DecoderPass& pass) const;
};

/// norm(x + attention(x)), then norm(x + mlp(x)). (Vaswani et al. 2017; GPT, the 350m model of OPT)
struct ONNXPORT_API PostNormBlock {
  Mixer attention;
  Norm after_attention;
  FeedForward mlp;
  Norm after_mlp;
  Value operator()(Value x, DecoderPass& pass) const;
};

/// x + norm(attention(norm(x))), then x + norm(mlp(norm(x))). A norm in front may be absent. (Gemma 2;
/// without norms in front OLMo 2)
struct ONNXPORT_API SandwichBlock {
  Norm before_attention;
  Mixer attention;
  Norm after_attention;
  Norm before_mlp;
  FeedForward mlp;
  Norm after_mlp;
  Value operator()(Value x, DecoderPass& pass) const;
};

/// x + attention(norm(x)) + mlp(norm(x)), each with a norm of its own, or with one for both where
/// `before_mlp` is absent. (Wang and Komatsuzaki 2021: GPT-J; GPT-NeoX, Falcon)
struct ONNXPORT_API ParallelBlock {
  Norm before_attention;
  Mixer attention;
  Norm before_mlp;
  FeedForward mlp;
  Value operator()(Value x, DecoderPass& pass) const;
};

/// Multiplies the result of a branch before it is added (Granite's residual_multiplier).
ONNXPORT_API Mixer scaled(Mixer attention, double factor);
ONNXPORT_API FeedForward scaled(FeedForward mlp, double factor);

/// Makes the block of layer `index`, whose keys lie below `s`.
using MakeBlock = std::function<Block(const Scope& s, std::int64_t index)>;

/// Embeddings, blocks, and the norm behind them. Gives the pass hidden_states.{i}: what goes into block i,
/// and at last the result.
class ONNXPORT_API DecoderStack {
 public:
  /// The keys of the blocks lie below `s / layers / 0`, `s / layers / 1`, …; `norm` may be absent.
  DecoderStack(const Scope& s, std::string_view layers, std::int64_t count, const MakeBlock& make_block,
               std::function<Value(DecoderPass&)> embed, Norm norm);
  /// -> [B, S, H]
  Value operator()(DecoderPass& pass) const;

 private:
  struct Layer {
    std::string path;
    Block block;
  };
  std::string path_;
  std::function<Value(DecoderPass&)> embed_;
  std::vector<Layer> layers_;
  Norm norm_;
};

}  // namespace onnxport::nn
