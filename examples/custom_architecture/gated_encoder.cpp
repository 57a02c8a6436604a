// A made-up architecture, added without changes to onnxport: an encoder of gated feed-forward layers.
//
// Like every architecture's file, it has a typed config, modules, a configuration class, and a registration.
#include <onnxport/onnxport.h>

namespace {

using namespace onnxport;

// 1. The typed config, read once from config.json.
struct Config {
  std::int64_t vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_labels;
  double layer_norm_eps;
  std::string hidden_act;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        intermediate_size(c.integer("intermediate_size")),
        num_hidden_layers(c.integer("num_hidden_layers")),
        num_labels(c.num_labels()),
        layer_norm_eps(c.real("layer_norm_eps")),
        hidden_act(c.string("hidden_act")) {}
};

// 2. Modules: plain structs. The caller of a constructor composes the key path of its weights.
struct Layer {
  nn::LayerNorm norm;
  nn::Linear gate, up, down;
  nn::Activation activation;

  Layer(const Scope& s, const Config& c)
      : norm(s / "norm", c.hidden_size, c.layer_norm_eps),
        gate(s / "gate", c.hidden_size, c.intermediate_size),
        up(s / "up", c.hidden_size, c.intermediate_size),
        down(s / "down", c.intermediate_size, c.hidden_size),
        activation(c.hidden_act) {}

  Value operator()(Value x) const {
    const Value normed = norm(x);
    const Value opened = activation(gate(normed));
    const Value wide = op::mul(opened, up(normed));
    return op::add(x, down(wide));
  }
};

struct GatedEncoder {
  nn::Embedding embeddings;
  std::vector<Layer> layers;

  GatedEncoder(const Scope& s, const Config& c) : embeddings(s / "embeddings", c.vocab_size, c.hidden_size) {
    for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) layers.emplace_back(s / "layers" / i, c);
  }

  Value operator()(Value input_ids) const {
    Value x = embeddings(input_ids);
    for (const Layer& layer : layers) x = layer(x);
    return x;
  }
};

// 3. The configuration class: inputs, outputs, axes and tolerance. The middle-end class knows them for text.
class GatedEncoderOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  double atol_for_validation() const override { return 1e-5; }
};

// 4. The computation of each task.
NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope s = model.scope();
  const Value hidden = GatedEncoder(s.base_model("encoder"), c)(inputs["input_ids"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  // Text classification: the mean over the tokens that are not padding.
  const Value mask = op::unsqueeze(op::cast(inputs["attention_mask"], hidden.dtype()), 2);
  const Value total = op::sum(op::mul(hidden, mask), 1);
  const Value mean = op::div(total, op::sum(mask, 1));
  return {{"logits", nn::Linear(s / "classifier", c.hidden_size, c.num_labels)(mean)}};
}

// 5. Registration.
void register_gated_encoder(TasksManager& tasks) {
  PretrainedConfig::register_class_defaults("gated-encoder",
                                            R"({"layer_norm_eps": 1e-5, "hidden_act": "silu"})");
  tasks.register_model<GatedEncoderOnnxConfig>({.model_type = "gated-encoder",
                                                .tasks = {"feature-extraction", "text-classification"},
                                                .forward = forward});
}

}  // namespace

// For `--plugin`, which calls onnxport_register(); a program calls it itself.
ONNXPORT_PLUGIN(register_gated_encoder);
