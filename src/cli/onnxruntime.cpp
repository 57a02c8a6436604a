#include "cli/onnxruntime.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <vector>

#include "cli/flag_groups.h"
#include "cli/output.h"
#include "onnxport/error.h"
#include "onnxport/onnx_files.h"
#include "support/progress.h"
#include "support/text.h"

namespace onnxport::cli {
namespace {

/// The settings, of which exactly one is given: a preset, or the file that can stand for it.
CLI::Option_group* add_settings(CLI::App& command, OnnxruntimeFlags& flags) {
  CLI::Option_group* group = command.add_option_group("Settings (one of them)");
  group->add_option("-c,--config", flags.config, "ort_config.json of Optimum, or the folder that holds one")
      ->type_name("FILE");
  group->require_option(1);
  return group;
}

void add_paths(CLI::App& command, OnnxruntimeFlags& flags) {
  command
      .add_option("--onnx_model", flags.onnx_model, "Folder, all of whose .onnx files are meant, or one file")
      ->required()
      ->type_name("DIR|FILE");
  command.add_option("-o,--output", flags.output, "Folder to write to; another one")
      ->required()
      ->type_name("OUT");
}

std::string describe(const QuantizedModelFile& file) {
  std::vector<std::string> nodes;
  for (const auto& [type, count] : file.nodes) nodes.push_back(fmt::format("{} {}", count, type));
  return fmt::format("{} ({}) -> {} ({}): {}", file.source.string(), text::human_bytes(file.source_bytes),
                     file.path.string(), text::human_bytes(file.bytes),
                     nodes.empty() ? "nothing to quantize" : fmt::format("{}", fmt::join(nodes, ", ")));
}

}  // namespace

void add_onnxruntime(CLI::App& app, OnnxruntimeCommands& commands) {
  CLI::App* group = app.add_subcommand("onnxruntime", "Change exported .onnx files for ONNX Runtime");
  group->require_subcommand(1);

  commands.quantize = group->add_subcommand("quantize", "Quantize .onnx files dynamically, to 8 bits");
  OnnxruntimeFlags& quantize = commands.quantize_flags;
  add_paths(*commands.quantize, quantize);
  commands.quantize->add_flag("--per_channel", quantize.per_channel,
                              "One scale for each output channel of a weight");
  CLI::Option_group* settings = add_settings(*commands.quantize, quantize);
  const auto add = [&](const std::string& name, const char* help) {
    settings->add_flag_callback("--" + name, [&quantize, name] { quantize.preset = name; }, help);
  };
  add("arm64", "For ARM64: int8 weights");
  add("avx2", "For AVX2: uint8 weights");
  add("avx512", "For AVX-512: int8 weights");
  add("avx512_vnni", "For AVX-512 with VNNI: int8 weights");
  add("ppc64le", "For PowerPC: int8 weights");
  add("tensorrt", "Refused: static quantization needs calibration data");
  add_voice(*commands.quantize, quantize.voice);
  commands.quantize->footer(
      "Example: onnxport onnxruntime quantize --onnx_model out/ --avx512_vnni -o out_q/");

  commands.optimize = group->add_subcommand(
      "optimize", "Show the command that exports the optimized model from its checkpoint");
  OnnxruntimeFlags& optimize = commands.optimize_flags;
  add_paths(*commands.optimize, optimize);
  add_settings(*commands.optimize, optimize)
      ->add_option("-O", optimize.preset,
                   "-O1: no change; -O2: fused operators; -O3: -O2 with the tanh approximation of gelu; -O4: "
                   "-O2 in fp16")
      ->check(CLI::IsMember({"1", "2", "3", "4"}))
      ->type_name("1|2|3|4");
  add_voice(*commands.optimize, optimize.voice);
}

int run_quantize(const OnnxruntimeFlags& flags) {
  QuantizeOptions options;
  if (!flags.config.empty()) {
    if (flags.per_channel) {
      throw ExportError(ErrorCode::invalid_argument,
                        "--per_channel does not go with --config: set 'per_channel' in the file");
    }
    options = read_ort_config(flags.config);
  } else {
    options.quantization = quantization_preset(flags.preset);
    options.quantization.per_channel = flags.per_channel;
  }
  options.onnx_model = flags.onnx_model;
  options.output = flags.output;
  if (!flags.voice.quiet) options.on_notice = note;
  std::vector<QuantizedModelFile> files;
  {
    Progress progress("writing weights", Progress::Unit::bytes, !flags.voice.quiet);
    options.on_progress = [&](std::uint64_t done, std::uint64_t total) { progress.update(done, total); };
    files = quantize_onnx_files(options);
  }
  if (flags.voice.json) {
    json report = {{"ok", true}, {"files", json::array()}};
    for (const QuantizedModelFile& file : files) {
      report["files"].push_back({{"source", file.source.string()},
                                 {"source_bytes", file.source_bytes},
                                 {"path", file.path.string()},
                                 {"bytes", file.bytes},
                                 {"quantized_nodes", file.nodes}});
    }
    print_json(report);
  } else if (!flags.voice.quiet) {
    for (const QuantizedModelFile& file : files) say(describe(file));
  }
  return 0;
}

int run_optimize(const OnnxruntimeFlags& flags) {
  const std::string level = flags.config.empty() ? "O" + flags.preset : optimization_level(flags.config);
  throw ExportError(
      ErrorCode::unsupported,
      fmt::format(
          "an exported file does not say any more which of its nodes are an attention or a norm, so it "
          "cannot be fused reliably: export the optimized model from the checkpoint:\n  {}",
          optimizing_export_command(flags.onnx_model, flags.output, level)));
}

}  // namespace onnxport::cli
