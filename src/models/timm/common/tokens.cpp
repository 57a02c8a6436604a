#include "models/timm/common/tokens.h"

#include <fmt/format.h>

#include <utility>

#include "models/timm/common/family.h"
#include "onnxport/error.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {

Value embed_patches(const Scope& s, const TimmConfig& c, Value pixel_values, const nn::KernelSize& patch,
                    std::int64_t width, bool bias) {
  if (pixel_values.dim(2) != Dim(c.image().height) || pixel_values.dim(3) != Dim(c.image().width))
    c.fail("the images have another size than img_size, which this architecture needs");
  const ModulePath at(pixel_values, s.path());
  const nn::Conv2d projection(s / "proj", c.num_channels(), width, patch, bias,
                              {.stride = {patch.height, patch.width}});
  return nn::image_to_tokens(projection(pixel_values));
}

nn::KernelSize patch_grid(const TimmConfig& c, const nn::KernelSize& patch) {
  const nn::KernelSize grid{c.image().height / patch.height, c.image().width / patch.width};
  if (grid.height < 1 || grid.width < 1) {
    c.fail(fmt::format("an image of {} x {} has no patch of {} x {}", c.image().height, c.image().width,
                       patch.height, patch.width));
  }
  return grid;
}

nn::KernelSize patch_size(const TimmConfig& c, std::int64_t usual) {
  const std::vector<std::int64_t> sides = c.sizes("patch_size", {usual}, 2);
  return {sides[0], sides[1]};
}

Value place_tokens(const Scope& s, Value patches, const TokenPositions& p) {
  Graph& graph = patches.graph();
  const ModulePath at(graph, s.path());
  const std::int64_t width = *patches.dim(2).constant(), count = *patches.dim(1).constant();
  std::int64_t learned = 0;
  std::vector<Value> parts;
  for (const auto& [key, tokens] : p.learned) {
    const Value token = graph.weight(s.weight(key, {1, tokens, width}));
    parts.push_back(op::expand(token, {patches.dim(0), tokens, width}));
    learned += tokens;
  }
  const std::int64_t placed = count + (p.placed ? learned : 0);
  const Weight stored = p.stored ? s.weight("pos_embed", {1, placed, width}) : Weight();
  if (stored && !p.placed) patches = op::add(patches, graph.weight(stored));
  parts.push_back(patches);
  const Value tokens = parts.size() == 1 ? patches : op::concat(parts, 1);
  return stored && p.placed ? op::add(tokens, graph.weight(stored)) : tokens;
}

Value FusedAttention::operator()(Value x) const {
  const ModulePath at(x, path);
  std::vector<Value> qkv;
  if (projections.size() == 1) {
    qkv = op::chunk(projections.front()(x), 2, 3);
  } else {
    for (const nn::Linear& projection : projections) qkv.push_back(projection(x));
  }
  if (turn) {
    qkv[0] = turn(qkv[0]);
    qkv[1] = turn(qkv[1]);
  }
  const Value attended =
      op::attention({.query = qkv[0], .key = qkv[1], .value = qkv[2]}, heads, heads).output;
  return output(norm ? (*norm)(attended) : attended);
}

FusedAttention fused_attention(const Scope& s, std::int64_t width, std::int64_t heads, bool bias) {
  return {.path = s.path(),
          .heads = heads,
          .projections = {nn::Linear(s / "qkv", width, 3 * width, bias)},
          .output = nn::Linear(s / "proj", width, width)};
}

std::function<Value(Value)> token_mlp(const Scope& s, std::int64_t width, std::int64_t inner,
                                      const std::string& activation) {
  const nn::Linear up(s / "fc1", width, inner), down(s / "fc2", inner, width);
  return [up, down, act = timm_activation(activation)](Value x) { return down(act(up(x))); };
}

std::function<Value(Value)> gated_token_mlp(const Scope& s, std::int64_t width, std::int64_t inner,
                                            bool gate_last) {
  const nn::Linear up(s / "fc1", width, 2 * inner), down(s / "fc2", inner, width);
  return [up, down, gate_last](Value x) {
    const std::vector<Value> halves = op::chunk(up(x), 2, 2);
    const Value gate = op::silu(halves[gate_last ? 1 : 0]);
    return down(op::mul(gate, halves[gate_last ? 0 : 1]));
  };
}

Value pool_tokens(Value tokens, const std::string& kind, std::int64_t prefix) {
  if (kind == "token") return op::select(tokens, 1, 0);
  if (kind != "avg" && kind != "max" && kind != "avgmax") {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("global_pool is '{}', expected token, avg, max or avgmax", kind));
  }
  const Value patches = prefix == 0 ? tokens : op::slice(tokens, 1, prefix, tokens.dim(1));
  if (kind == "avg") return op::mean(patches, 1);
  Value largest = op::amax(patches, 1);
  if (kind == "max") return largest;
  const Value average = op::mean(patches, 1);
  return op::mul(op::add(largest, average), 0.5);
}

Value pool_by_attention(const Scope& s, Value tokens, std::int64_t heads, std::int64_t inner, double eps,
                        const std::string& activation) {
  Graph& graph = tokens.graph();
  const ModulePath at(graph, s.path());
  const std::int64_t width = *tokens.dim(2).constant();
  const Value latent = nn::Linear(s / "q", width, width)(graph.weight(s.weight("latent", {1, 1, width})));
  const Value query = op::expand(latent, {tokens.dim(0), 1, width});
  const std::vector<Value> kv = op::chunk(nn::Linear(s / "kv", width, 2 * width)(tokens), 2, 2);
  const Value attended = op::attention({.query = query, .key = kv[0], .value = kv[1]}, heads, heads).output;
  const Value x = nn::Linear(s / "proj", width, width)(attended);
  const Value normed = nn::LayerNorm(s / "norm", width, eps)(x);
  return op::select(op::add(x, token_mlp(s / "mlp", width, inner, activation)(normed)), 1, 0);
}

}  // namespace onnxport::models
