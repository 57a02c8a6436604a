#include "cli/flag_groups.h"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace onnxport::cli {

void add_voice(CLI::App& app, Voice& voice) {
  app.add_flag("-q,--quiet", voice.quiet, "Print errors only");
  app.add_flag("-v,--verbose", voice.verbose, "Print more details");
  app.add_flag("--json", voice.json, "Print a machine-readable report on standard output");
}

void add_plugins(CLI::App& app, std::vector<std::string>& plugins) {
  app.add_option("--plugin", plugins, "Shared library that registers more architectures (repeatable)")
      ->type_name("LIB");
}

void add_adapters(CLI::App& app, std::vector<std::filesystem::path>& adapters) {
  app.add_option("--adapter", adapters,
                 "Folder or Hub repository of a LoRA adapter (adapter_config.json), which is merged into the "
                 "weights of the model (repeatable)")
      ->type_name("DIR|ORG/NAME")
      ->allow_extra_args(false);
}

void add_shapes(CLI::App& app, DummyShapes& shapes) {
  const auto add = [&](const char* name, std::int64_t& value, const char* text) {
    app.add_option(name, value, text)
        ->check(CLI::PositiveNumber)
        ->capture_default_str()
        ->group("Sizes of validation inputs, and of axes that are not dynamic");
  };
  add("--batch_size", shapes.batch_size, "Rows of the batch");
  add("--sequence_length", shapes.sequence_length, "Tokens per row");
  add("--past_sequence_length", shapes.past_sequence_length, "Tokens in the cache");
  add("--num_choices", shapes.num_choices, "Answers per question in multiple-choice");
  add("--width", shapes.width, "Image width");
  add("--height", shapes.height, "Image height");
  add("--num_channels", shapes.num_channels, "Image channels");
  add("--feature_size", shapes.feature_size, "Audio features per frame");
  add("--nb_max_frames", shapes.nb_max_frames, "Audio frames");
  add("--audio_sequence_length", shapes.audio_sequence_length, "Audio samples");
  add("--point_batch_size", shapes.point_batch_size, "Prompts per image");
  add("--nb_points_per_image", shapes.nb_points_per_image, "Points per prompt");
  add("--visual_seq_length", shapes.visual_seq_length, "Visual tokens");
}

void add_hub(CLI::App& app, HubOptions& hub) {
  app.add_option(
         "--weights-variant", hub.weights_variant,
         "Variant of the weights files: fp16 reads model.fp16.safetensors instead of model.safetensors")
      ->type_name("NAME");
  const char* group = "Models from the Hugging Face Hub";
  app.add_option("--revision", hub.revision, "Branch, tag or commit; default: main")->group(group);
  app.add_option("--subfolder", hub.subfolder,
                 "Subfolder of the repository or local folder that holds the checkpoint")
      ->group(group);
  app.add_option("--token", hub.token,
                 "Access token for private and gated models; default: HF_TOKEN, or the stored token")
      ->group(group);
  app.add_option("--cache_dir", hub.cache_dir, "Cache folder; default: HF_HUB_CACHE, or HF_HOME/hub")
      ->type_name("DIR")
      ->group(group);
  app.add_flag("--local_files_only", hub.local_files_only, "Use only the cache, not the network")
      ->group(group);
  app.add_flag("--force_download", hub.force_download, "Download files even if the cache has them")
      ->group(group);
}

void add_level(CLI::App& app, std::string& level) {
  app.add_option(
         "--optimize", level,
         "O1: no change; O2: --target ort; O3: O2 with the tanh approximation of gelu; O4: O2 in fp16")
      ->check(CLI::IsMember({"O1", "O2", "O3", "O4"}));
}

void add_layout(CLI::App& app, std::string& layout) {
  app.add_option("--layout", layout,
                 "Files and settings for a client: optimum (ONNX Runtime, Optimum), transformers.js, genai "
                 "(onnxruntime-genai), sentence-transformers, or sherpa (sherpa-onnx)")
      ->check(CLI::IsMember({"optimum", "transformers.js", "genai", "sentence-transformers", "sherpa"}))
      ->capture_default_str();
}

void add_non_finite(CLI::App& app, NonFinite& non_finite) {
  app.add_flag_callback(
      "--allow-non-finite", [&non_finite] { non_finite = NonFinite::allow; },
      "Accept NaN and infinities in outputs where the definition computes the same");
}

void add_interface_options(CLI::App& app, InterfaceOptions& options) {
  const auto add = [&](InterfaceOption option, const char* what) {
    app.add_flag_callback(
        fmt::format("--{}", to_string(option)), [&options, option] { options.insert(option); }, what);
  };
  add(InterfaceOption::hidden_states, "Text decoders: also the outputs hidden_states.0, …");
  add(InterfaceOption::attentions, "Text decoders: also the outputs attentions.0, … (as eager attention)");
  add(InterfaceOption::num_logits_to_keep,
      "Text decoders: an input that limits the logits to the last tokens; 0: all");
  add(InterfaceOption::no_position_ids, "Text decoders: count positions instead of taking position_ids");
  add(InterfaceOption::pixel_mask, "Detectors: an input that tells which pixels are real");
  add(InterfaceOption::cross_attentions,
      "Whisper: also the outputs cross_attentions.0, … for word timestamps");
}

void add_int_dtype(CLI::App& app, std::string& dtype) {
  app.add_option("--int-dtype", dtype, "Type of integer inputs; int8 requires that all token ids fit")
      ->check(CLI::IsMember({"int64", "int32", "int8"}))
      ->capture_default_str();
}

}  // namespace onnxport::cli
