// Attention in its ONNX form: RotaryEmbedding and Attention of opset 23, which take heads side by side.
#include "lower/emitter.h"

namespace onnxport::lower {

Lowered lower_attention(Emitter& e, const Node& node) {
  const std::int64_t heads = node.attrs.integer("heads");
  const std::int64_t kv_heads = node.attrs.integer("kv_heads");
  Names in = e.names_of(node.inputs);
  if (node.inputs[6]) {
    const auto rotate = [&](const std::string& x, std::int64_t count) {
      OnnxAttrs attrs = {{"num_heads", count}};
      const std::int64_t rotated = 2 * *node.inputs[6].dim(2).constant();
      if (rotated != *node.inputs[0].dim(2).constant() / heads)
        attrs.emplace_back("rotary_embedding_dim", rotated);
      return e.emit("RotaryEmbedding", {x, in[6], in[7]}, std::move(attrs));
    };
    in[0] = rotate(in[0], heads);
    in[1] = rotate(in[1], kv_heads);
  }
  OnnxAttrs attrs = {{"q_num_heads", heads},
                     {"kv_num_heads", kv_heads},
                     {"scale", static_cast<float>(node.attrs.real("scale"))}};
  if (const double cap = node.attrs.real("softcap"); cap != 0)
    attrs.emplace_back("softcap", static_cast<float>(cap));
  return e.emit_all("Attention", 3, {in[0], in[1], in[2], in[5], in[3], in[4]}, std::move(attrs));
}

}  // namespace onnxport::lower
