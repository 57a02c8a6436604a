#include "onnxport/nn/joint_attention.h"

namespace onnxport::nn {
namespace {

constexpr std::int64_t kWider = 4;  // the feed-forward, than the tokens

}  // namespace

Modulation::Modulation(const Scope& s, std::int64_t width, std::int64_t parts)
    : path_(s.path()), parts_(parts), linear_(s / "linear", width, parts * width) {}

std::vector<Value> Modulation::operator()(Value condition) const {
  const ModulePath at(condition, path_);
  return op::chunk(op::unsqueeze(linear_(condition), 1), -1, parts_);
}

Value modulate(Value normed, Value scale, Value shift) {
  return op::add(op::mul(normed, op::add(scale, 1.0)), shift);
}

Value modulated_norm(Value x, Value scale, Value shift, double eps) {
  return modulate(op::layer_norm(x, {}, {}, eps), scale, shift);
}

namespace {

// Projections of the tokens with these names.
struct Names {
  const char *query, *key, *value, *query_norm, *key_norm;
};
constexpr Names kOfImage = {"to_q", "to_k", "to_v", "norm_q", "norm_k"};
constexpr Names kOfText = {"add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k"};

std::optional<RmsNorm> head_norm(const Scope& s, const JointAttentionParameters& p) {
  if (!p.normed) return {};
  return RmsNorm(s, p.head_dim, {.eps = p.eps});
}

}  // namespace

JointAttention::JointAttention(const Scope& s, const JointAttentionParameters& p)
    : path_(s.path()), p_(p), image_([&] {
        const auto linear = [&](const char* name) {
          return Linear(s / name, p.width, p.heads * p.head_dim, p.bias);
        };
        return Projections{linear(kOfImage.query), linear(kOfImage.key), linear(kOfImage.value),
                           head_norm(s / kOfImage.query_norm, p), head_norm(s / kOfImage.key_norm, p)};
      }()) {
  const std::int64_t inner = p.heads * p.head_dim;
  if (p.output == JointOutput::projected) output_.emplace(s / "to_out.0", inner, p.width, p.bias);
  if (p.text == JointText::none) return;
  const auto linear = [&](const char* name) { return Linear(s / name, p.width, inner, p.bias); };
  text_.emplace(Projections{linear(kOfText.query), linear(kOfText.key), linear(kOfText.value),
                            head_norm(s / kOfText.query_norm, p), head_norm(s / kOfText.key_norm, p)});
  if (p.text == JointText::both) text_output_.emplace(s / "to_add_out", inner, p.width, p.bias);
}

JointAttention::Projected JointAttention::project(const Projections& by, Value x) const {
  const auto normed = [&](Value projected, const std::optional<RmsNorm>& norm) {
    if (!norm) return projected;
    const Shape shape = projected.shape();
    const Value heads = op::reshape(projected, {shape[0], shape[1], p_.heads, p_.head_dim});
    return op::reshape((*norm)(heads), shape);
  };
  const Value query = normed(by.query(x), by.query_norm);
  const Value key = normed(by.key(x), by.key_norm);
  return {query, key, by.value(x)};
}

JointAttention::Results JointAttention::operator()(Value image, Value text, const op::Rope& rope,
                                                   const op::AttentionMask& mask) const {
  const ModulePath at(image, path_);
  const bool text_first = p_.order == JointOrder::text_first;
  Projected all = project(image_, image);
  if (text_) {
    const Projected other = project(*text_, text);
    const auto join = [&](Value of_image, Value of_text) {
      return text_first ? op::concat({of_text, of_image}, 1) : op::concat({of_image, of_text}, 1);
    };
    all.query = join(all.query, other.query);
    all.key = join(all.key, other.key);
    all.value = join(all.value, other.value);
  }
  Value attended =
      op::attention({.query = all.query, .key = all.key, .value = all.value, .mask = mask, .rope = rope},
                    p_.heads, p_.heads)
          .output;
  const auto projected = [](const std::optional<Linear>& by, Value x) { return by ? (*by)(x) : x; };
  if (!text_) return {projected(output_, attended)};
  const Dim &pixels = image.dim(1), &words = text.dim(1);
  const Dim from = text_first ? words : Dim(0);
  const Value of_image = projected(output_, op::slice(attended, 1, from, from + pixels));
  if (!text_output_) return {of_image};
  const Value of_text =
      text_first ? op::slice(attended, 1, 0, words) : op::slice(attended, 1, pixels, pixels + words);
  return {of_image, (*text_output_)(of_text)};
}

Mlp tanh_feed_forward(const Scope& s, std::int64_t width) {
  return {s.path(), Linear(s / "net.0.proj", width, kWider * width),
          Linear(s / "net.2", kWider * width, width), "gelu_pytorch_tanh"};
}

StepAndText::StepAndText(const Scope& s, std::int64_t width, std::int64_t text, bool guidance)
    : path_(s.path()),
      step_(s / "timestep_embedder", width),
      text_(s / "text_embedder", {.in = text, .out = width}) {
  if (guidance) guidance_.emplace(s / "guidance_embedder", width);
}

Value StepAndText::operator()(Value step, Value text, Value guidance) const {
  const ModulePath at(step, path_);
  Value sum = step_(step);
  if (guidance_) sum = op::add(sum, (*guidance_)(guidance));
  return op::add(sum, text_(text));
}

}  // namespace onnxport::nn
