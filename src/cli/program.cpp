// The argument table. `export onnx` takes the flags of Optimum's exporter, with the same spelling and
// defaults.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>
#include <nlohmann/json.hpp>

#include "cli/bench.h"
#include "cli/build_info.h"
#include "cli/command_tree.h"
#include "cli/commands.h"
#include "cli/diff.h"
#include "cli/export_many.h"
#include "cli/flag_groups.h"
#include "cli/onnxruntime.h"
#include "cli/plugin.h"
#include "cli/program.h"
#include "cli/report.h"
#include "onnxport/cancellation.h"
#include "onnxport/error.h"

namespace onnxport::cli {
namespace {

void add_export(CLI::App& app, ExportFlags& flags, std::vector<std::string>& plugins) {
  MainExportOptions& o = flags.options;
  app.add_option(
         "-m,--model", o.model,
         "Checkpoint folder (config.json and weights), folder of an adapter, .gguf file, or Hub repository, "
         "which is downloaded")
      ->required()
      ->type_name("DIR|ORG/NAME");
  add_adapters(app, o.adapters);
  app.add_option("output", o.output, "Folder to write to")->required()->type_name("OUT");
  app.add_option("--task", o.task,
                 "Task to export for, see `onnxport list`; auto: inferred from the checkpoint")
      ->capture_default_str();
  app.add_option("--opset", o.opset, "ONNX opset, 11 to 26; default: set by the model type, usually 18")
      ->check(CLI::PositiveNumber);
  app.add_option(
         "--target", o.export_options.target.runtime,
         "Runtime to export for: any (ai.onnx operators only), or ort (also contrib operators of ONNX "
         "Runtime, such as MultiHeadAttention and SkipLayerNormalization)")
      ->check(CLI::IsMember({"any", "ort"}))
      ->capture_default_str();
  app.add_option(
         "--attention", o.export_options.target.attention,
         "Causal attention for --target ort: auto, or gqa (GroupQueryAttention; on the CPU, it processes "
         "several new tokens after a cache only if the batch size is 1)")
      ->check(CLI::IsMember({"auto", "gqa"}))
      ->capture_default_str();
  add_level(app, flags.optimize);
  app.add_option("--dtype", o.dtype,
                 "Floating-point type of the exported model, whatever the checkpoint stores")
      ->check(CLI::IsMember({"fp32", "fp16", "bf16"}))
      ->capture_default_str();
  add_int_dtype(app, o.int_dtype);
  add_interface_options(app, o.interface_options);
  app.add_option(
         "--library-name,--library", o.library,
         "Library of the model: transformers, sentence_transformers or timm; default: inferred from the "
         "folder. diffusers is not supported yet")
      ->check(CLI::IsMember({"transformers", "diffusers", "timm", "sentence_transformers"}));
  app.add_option("--variant", o.variant, "Variant of the export")->capture_default_str();
  app.add_option("--atol", o.atol, "Tolerance of validation; default: set by the model type and dtype")
      ->check(CLI::NonNegativeNumber);
  add_layout(app, o.layout);
  add_quantize(app, flags.quantize);
  add_non_finite(app, o.non_finite);
  app.add_option("--reference", o.reference,
                 "Also compare with recorded outputs of the original model: a safetensors file with "
                 "in/<input> and out/<output>")
      ->type_name("FILE");
  app.add_option(
         "--external-data", o.export_options.external_data,
         "Where to store the weights: auto (beside the model if it exceeds 2 GB), always (beside it), never "
         "(inside it), shared (one file for all models of the export), checkpoint (models point into the "
         "checkpoint's files; OUT must be the checkpoint folder)")
      ->check(CLI::IsMember({"auto", "always", "never", "shared", "checkpoint"}))
      ->capture_default_str();
  app.add_option("--external-data-threshold", o.export_options.external_data_threshold,
                 "Tensors smaller than this stay in the .onnx file")
      ->type_name("BYTES")
      ->capture_default_str();
  app.add_option(
         "--external-data-alignment", o.export_options.external_data_alignment,
         "Alignment of tensors in a data file, a power of two; default: 64, and 4096 for large tensors")
      ->type_name("BYTES");
  app.add_option("--model-kwargs", flags.model_kwargs,
                 "JSON object; known: {\"attn_implementation\": \"eager\"} (or \"sdpa\")")
      ->type_name("JSON");
  app.add_option("--pad_token_id", flags.pad_token_id, "Override pad_token_id from config.json")
      ->type_name("N");
  app.add_flag("!--no-dynamic-axes", o.export_options.dynamic_axes,
               "Make all axes static, with the sizes that the size flags give");
  add_report_flag(app, flags.report);
  app.add_flag("!--no-validate", o.validate, "Do not run the exported model; the ONNX checker still runs");
  app.add_flag("--ignore-unexpected", o.export_options.ignore_unexpected,
               "Continue if the definition leaves tensors or config keys unread");
  app.add_flag("--monolith", flags.monolith, "Write one file for models that are split by default");
  const char* compat = "Accepted for compatibility with Optimum";
  app.add_option("--device", flags.device, "No effect: exporting runs no model on a device")
      ->group(compat)
      ->capture_default_str();
  app.add_option("--framework", flags.framework, "No effect: weights are read, not traced")
      ->check(CLI::IsMember({"pt"}))
      ->group(compat)
      ->capture_default_str();
  app.add_flag("--trust-remote-code", flags.trust_remote_code, "No effect: no Python is run")->group(compat);
  app.add_flag("--no-constant-folding", flags.no_constant_folding,
               "No effect: only arithmetic on weights is folded")
      ->group(compat);
  app.add_flag("--dynamo", flags.dynamo, "No effect: nothing is traced")->group(compat);
  app.add_flag("--no-post-process", flags.no_post_process, "Do not merge the decoders with and without past");
  const char* refused = "Recognized, but not supported";
  app.add_flag("--slim", flags.slim, "Not needed: graphs have no redundant nodes")->group(refused);
  app.add_flag("--legacy", o.legacy, "File layout of old exporters")->group(refused);
  add_hub(app, o.hub);
  add_plugins(app, plugins);
  add_shapes(app, o.export_options.shapes);
  add_voice(app, flags.voice);
}

bool wants_json(int argc, char** argv) {
  return std::any_of(argv, argv + argc,
                     [](const char* argument) { return std::string_view(argument) == "--json"; });
}

int report(int argc, char** argv, ErrorCode code, const std::string& message) {
  const int status = exit_status(code);
  std::fprintf(stderr, "onnxport: error: %s\n", message.c_str());
  if (wants_json(argc, argv)) {
    const nlohmann::ordered_json report = {{"ok", false}, {"error", message}, {"exit_status", status}};
    std::printf("%s\n", report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  }
  return status;
}

int run(int argc, char** argv) {
  CLI::App app("Export Hugging Face checkpoints to validated ONNX files.", "onnxport");
  app.set_version_flag(
      "--version",
      [&] {
        if (!wants_json(argc, argv)) return std::string("onnxport ") + ONNXPORT_VERSION;
        return build_info().dump(2);
      },
      "Print the version and exit; with --json, also the compiler and the versions of libraries");
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  std::vector<std::string> plugins;

  ExportFlags export_flags;
  CLI::App* export_group = app.add_subcommand("export", "Export a checkpoint");
  export_group->require_subcommand(1);
  CLI::App* export_onnx = export_group->add_subcommand("onnx", "Export a checkpoint to ONNX");
  export_onnx->footer("Example: onnxport export onnx --model all-MiniLM-L6-v2 out/");
  add_export(*export_onnx, export_flags, plugins);

  ValidateFlags validate_flags;
  CLI::App* validate = app.add_subcommand("validate", "Check an exported model against its checkpoint");
  validate
      ->add_option("model", validate_flags.options.model, "Checkpoint folder, .gguf file, or Hub repository")
      ->required()
      ->type_name("DIR|ORG/NAME");
  add_adapters(*validate, validate_flags.options.adapters);
  validate->add_option("onnx", validate_flags.options.onnx, "Folder of the export, or one of its .onnx files")
      ->required()
      ->type_name("ONNX_DIR");
  validate->add_option("--task", validate_flags.options.task, "Task of the export")->capture_default_str();
  validate->add_option("--dtype", validate_flags.options.dtype, "Floating-point type of the export")
      ->check(CLI::IsMember({"fp32", "fp16", "bf16"}))
      ->capture_default_str();
  add_int_dtype(*validate, validate_flags.options.int_dtype);
  add_interface_options(*validate, validate_flags.options.interface_options);
  add_layout(*validate, validate_flags.options.layout);
  add_quantize(*validate, validate_flags.quantize);
  add_level(*validate, validate_flags.optimize);
  validate->add_option("--variant", validate_flags.options.variant, "Variant of the export")
      ->capture_default_str();
  validate->add_flag("--monolith", validate_flags.monolith, "The model was exported as one file");
  validate->add_option("--library-name,--library", validate_flags.options.library,
                       "Library of the model: transformers, sentence_transformers or timm; default: inferred "
                       "from the folder");
  validate
      ->add_option("--atol", validate_flags.options.atol,
                   "Tolerance; default: set by the model type and dtype")
      ->check(CLI::NonNegativeNumber);
  add_non_finite(*validate, validate_flags.options.validation.non_finite);
  validate
      ->add_option("--reference", validate_flags.options.validation.reference,
                   "Also compare with recorded outputs of the original model")
      ->type_name("FILE");
  validate->add_flag("!--no-dynamic-axes", validate_flags.options.validation.dynamic_axes,
                     "The model was exported without dynamic axes");
  add_hub(*validate, validate_flags.options.hub);
  add_plugins(*validate, plugins);
  add_shapes(*validate, validate_flags.options.validation.shapes);
  add_voice(*validate, validate_flags.voice);

  InspectFlags inspect_flags;
  CLI::App* inspect = app.add_subcommand("inspect", "Show the contents of a checkpoint or an .onnx file");
  inspect
      ->add_option("path", inspect_flags.path, "Checkpoint folder, .gguf file, Hub repository, or .onnx file")
      ->required()
      ->type_name("DIR|ORG/NAME|FILE.onnx");
  add_adapters(*inspect, inspect_flags.adapters);
  inspect->add_option("--task", inspect_flags.task, "For a checkpoint: task whose graph is shown")
      ->capture_default_str();
  inspect->add_flag("--nodes", inspect_flags.nodes, "List every node");
  add_hub(*inspect, inspect_flags.hub);
  add_plugins(*inspect, plugins);
  add_voice(*inspect, inspect_flags.voice);

  OnnxruntimeCommands onnxruntime;
  add_onnxruntime(app, onnxruntime);

  ExportManyFlags export_many_flags;
  CLI::App* export_many = add_export_many(app, export_many_flags);

  BenchFlags bench_flags;
  CLI::App* bench = add_bench(app, bench_flags);

  DiffFlags diff_flags;
  CLI::App* diff = add_diff(app, diff_flags);

  ReportFlags report_flags;
  CLI::App* page = add_report(app, report_flags);

  Voice list_voice;
  CLI::App* list = app.add_subcommand("list", "List model types and their tasks");
  add_plugins(*list, plugins);
  add_voice(*list, list_voice);

  CompletionCommands completion;
  add_completion(app, completion);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0 || !wants_json(argc, argv)) {
      return app.exit(error) == 0 ? 0 : exit_status(ErrorCode::invalid_argument);
    }
    return report(argc, argv, ErrorCode::invalid_argument, error.what());
  }
  for (const std::string& plugin : plugins) load_plugin(plugin);
  export_flags.framework_given = export_onnx->count("--framework") > 0;
  if (*export_onnx) return run_export(std::move(export_flags));
  if (*validate) return run_validate(std::move(validate_flags));
  if (*inspect) return run_inspect(std::move(inspect_flags));
  if (*onnxruntime.quantize) return run_quantize(onnxruntime.quantize_flags);
  if (*onnxruntime.optimize) return run_optimize(onnxruntime.optimize_flags);
  if (*export_many) return run_export_many(std::move(export_many_flags), *export_many);
  if (*bench) return run_bench(bench_flags);
  if (*diff) return run_diff(diff_flags);
  if (*completion.completion || *completion.manual) return run_completion(app, completion);
  if (*page) return run_report(report_flags);
  return run_list(list_voice);
}

}  // namespace

int run_program(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const ExportError& error) {
    return report(argc, argv, error.code(), error.what());
  } catch (const Cancelled&) {
    throw;
  } catch (const std::bad_alloc&) {
    return report(argc, argv, ErrorCode::internal, "out of memory");
  } catch (const std::exception& error) {
    return report(argc, argv, ErrorCode::internal, std::string("unexpected: ") + error.what());
  }
}

}  // namespace onnxport::cli
