// CANINE. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/canine/modeling_canine.py
// Characters without a vocabulary: one layer within blocks of characters, BERT over molecules of a few
// characters, one layer over both.
#include <algorithm>
#include <array>

#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr std::array<std::int64_t, 16> kPrimes = {31,  43,  59,  61,  73,  97,  103, 113,
                                                  137, 149, 157, 173, 181, 193, 211, 223};

class CanineOnnxConfig : public TypedTextOnnxConfig {
 public:
  using TypedTextOnnxConfig::TypedTextOnnxConfig;
  // Any character will do.
  NormalizedConfig normalized_config() const override {
    return TypedTextOnnxConfig::normalized_config().with_args({{"vocab_size", "num_hash_buckets"}});
  }
};

struct Config : TextEncoderConfig {
  std::int64_t hashes, buckets, rate, kernel, block;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c.settled("vocab_size", "1")),
        hashes(c.integer("num_hash_functions")),
        buckets(c.integer("num_hash_buckets")),
        rate(c.integer("downsampling_rate")),
        kernel(c.integer("upsampling_kernel_size")),
        block(c.integer("local_transformer_stride")) {
    const auto most = static_cast<std::int64_t>(kPrimes.size());
    if (hashes < 1 || hashes > most)
      refuse(c, fmt::format("num_hash_functions is {}, expected 1 to {}", hashes, most));
    check_multiple(c, "hidden_size", hidden_size, "num_hash_functions", hashes);
    for (const auto& [key, value] : {std::pair{"num_hash_buckets", buckets},
                                     {"downsampling_rate", rate},
                                     {"upsampling_kernel_size", kernel},
                                     {"local_transformer_stride", block}}) {
      constexpr std::int64_t kMost = 1 << 20;
      if (value < 1 || value > kMost) refuse(c, fmt::format("{} is {}, expected 1 to {}", key, value, kMost));
    }
  }
  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, layer_norm_eps}; }
};

// Each hash of a character chooses a part of its embedding.
struct Embeddings {
  std::string path;
  Config config;
  Weight tables;  // of all hashes, one after the other
  nn::Embedding positions, types;
  nn::LayerNorm norm;

  Embeddings(const Scope& s, const Config& c)
      : path(s.path()),
        config(c),
        positions(s / "char_position_embeddings", c.buckets, c.hidden_size),
        types(s / "token_type_embeddings", c.type_vocab_size, c.hidden_size),
        norm(c.norm(s / "LayerNorm")) {
    std::vector<Weight> parts;
    for (std::int64_t i = 0; i < c.hashes; ++i) {
      const Scope table = s / fmt::format("HashBucketCodepointEmbedder_{}", i);
      parts.push_back(table.weight("weight", {c.buckets, c.hidden_size / c.hashes}));
    }
    tables = Weight::concat(parts, 0);
    s.ignore("position_ids");
  }

  Value operator()(Value ids, Value token_type_ids) const {
    Graph& graph = ids.graph();
    const ModulePath at(graph, path);
    std::vector<std::int64_t> first;
    for (std::int64_t i = 0; i < config.hashes; ++i) first.push_back(i * config.buckets);
    const std::vector<std::int64_t> primes(kPrimes.begin(), kPrimes.begin() + config.hashes);
    const auto buckets = static_cast<double>(config.buckets);
    const Value factors = graph.weight(Weight::from_ints({config.hashes}, primes));
    const Value hashed = op::mul(op::unsqueeze(op::add(ids, 1.0), 2), factors);
    const Value whole = op::mul(op::div(hashed, buckets), buckets);
    const Value bucket = op::sub(hashed, whole);
    const Value row = op::add(bucket, graph.weight(Weight::from_ints({config.hashes}, first)));
    Value x = op::flatten(op::embedding(graph.weight(tables), row), 2, 3);
    x = op::add(x, token_type_ids ? types(token_type_ids) : types.first(graph, 1));
    return norm(op::add(x, positions.first(graph, ids.dim(1))));
  }
};

// A character sees the characters of its block. In a block of padding, it sees all of them equally.
op::AttentionMask within_blocks(Value attention_mask, const Config& c, DType dtype) {
  Graph& graph = attention_mask.graph();
  const Value block = op::div(op::arange(graph, attention_mask.dim(1)), static_cast<double>(c.block));
  const Value same = op::eq(op::unsqueeze(block, 1), block);
  const Value padding = op::mul(nn::padding_bias(attention_mask, dtype), 0.5);  // above what hides a block
  return {
      .visible = op::unsqueeze(op::unsqueeze(same, 0), 0), .bias = padding, .no_keys = op::NoKeys::uniform};
}

struct Characters {
  Value encoding;   // [B, S, H]
  Value molecules;  // [B, M, H]
};

struct Canine {
  Config config;
  Embeddings char_embeddings;
  nn::PostNormEncoder initial, encoder, final_layers;
  nn::Conv1d downsample, upsample;
  nn::LayerNorm molecule_norm, projection_norm;
  nn::Activation activation;

  Canine(const Scope& s, const Config& c)
      : config(c),
        char_embeddings(s / "char_embeddings", c),
        initial(s / "initial_char_encoder" / "layer", 1, c.layer()),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()),
        final_layers(s / "final_char_encoder" / "layer", 1, c.layer()),
        // Zeros at the end let even a short text have a window. Whole windows do not see them.
        downsample(s / "chars_to_molecules" / "conv", c.hidden_size, c.hidden_size, c.rate, true,
                   {.stride = {c.rate}, .padding = {0, c.rate - 1}}),
        upsample(s / "projection" / "conv", 2 * c.hidden_size, c.hidden_size, c.kernel, true,
                 {.padding = {(c.kernel - 1) / 2, c.kernel / 2}}),
        molecule_norm(c.norm(s / "chars_to_molecules" / "LayerNorm")),
        projection_norm(c.norm(s / "projection" / "LayerNorm")),
        activation(c.hidden_act) {}

  // One for each whole window of characters, but at least one.
  Dim molecules(const Dim& characters) const {
    const Dim windows = characters.floor_div(config.rate);
    return windows + 1 - windows.min(1);
  }

  // The first character, then all windows but the last whole one.
  Value to_molecules(Value x) const {
    const Value windows = op::permute(downsample(op::permute(x, {0, 2, 1})), {0, 2, 1});
    const Value kept = op::slice(activation(windows), 1, 0, molecules(x.dim(1)) - 1);
    const Value first = op::slice(x, 1, 0, 1);
    return molecule_norm(op::concat({first, kept}, 1));
  }

  // Whether a window holds a real character: bool [B, M].
  Value molecule_mask(Value attention_mask) const {
    const Dim& length = attention_mask.dim(1);
    const Dim windows = (length - 1).floor_div(config.rate) + 1;
    const Value real = op::cast(attention_mask, DType::f32);
    const Value padded = op::pad(real, {0, 0}, {0, windows * config.rate - length});
    const Value by_window = op::reshape(padded, {real.dim(0), windows, config.rate});
    return op::slice(op::gt(op::amax(by_window, 2), 0.0), 1, 0, molecules(length));
  }

  // Each molecule but the first for the characters of one window, the last one also for the rest: [B, S, H].
  Value repeat(Value x, const Dim& length) const {
    const Dim whole = x.dim(1) - 1;
    const Value inner = op::unsqueeze(op::slice(x, 1, 1, x.dim(1)), 2);
    const Value spread = op::expand(inner, {x.dim(0), whole, config.rate, config.hidden_size});
    const Value repeated = op::reshape(spread, {x.dim(0), whole * config.rate, config.hidden_size});
    const Value last = op::slice(x, 1, whole, x.dim(1));
    const Dim rest = length - whole * config.rate;
    return op::concat({repeated, op::expand(last, {x.dim(0), rest, config.hidden_size})}, 1);
  }

  Characters read(const Inputs& in) const {
    const Value mask = in["attention_mask"];
    const Value x = char_embeddings(in["input_ids"], in.get("token_type_ids"));
    const Value encoding = initial(x, within_blocks(mask, config, x.dtype()));
    const Value molecules = to_molecules(encoding);
    return {encoding, encoder(molecules, nn::padding_mask(molecule_mask(mask)))};
  }

  Value operator()(const Inputs& in) const {
    const Characters read_text = read(in);
    const Value repeated = repeat(read_text.molecules, read_text.encoding.dim(1));
    const Value both = op::permute(op::concat({read_text.encoding, repeated}, 2), {0, 2, 1});
    const Value projected = activation(op::permute(upsample(both), {0, 2, 1}));
    const op::AttentionMask mask = nn::padding_mask(in["attention_mask"]);
    return final_layers(projection_norm(projected), mask);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("canine");
  const Canine canine(base, c);
  // The pooler takes the first molecule.
  const bool pooled = component.task == "text-classification" || component.task == "multiple-choice";
  const auto encode = [&](const Inputs& in) { return pooled ? canine.read(in).molecules : canine(in); };
  const auto pool = [&](Value hidden) {
    return nn::Pooler(base / "pooler" / "dense", c.hidden_size)(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root, pooled_heads(root, c, encode, {}, pool));
}

}  // namespace

void register_canine(TasksManager& tasks) {
  tasks.register_model<CanineOnnxConfig>(
      {.model_type = "canine",
       .tasks = {"feature-extraction", "multiple-choice", "question-answering", "text-classification",
                 "token-classification"},
       .forward = forward});
}

}  // namespace onnxport::models
