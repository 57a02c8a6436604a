#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "exporter/diffusers_definition.h"
#include "layout/layout.h"
#include "onnx/merge_decoders.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/tasks_manager.h"
#include "pass/rebuild.h"
#include "pipeline/adapter_files.h"
#include "pipeline/companions.h"
#include "pipeline/pipeline_files.h"
#include "pipeline/prepare.h"
#include "pipeline/stale_data.h"
#include "pipeline/validate_plan.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using pipeline::Prepared;

// The files of one variant: those of its components, then those of its merges.
struct Files {
  ExportPlan plan;  ///< of this variant alone
  std::vector<Prepared> prepared = {};
  std::deque<Graph> quantized = {};  ///< the graphs of the components, if they are quantized and validated
  transform::QuantizeSummary summary = {};
  bool shared_cache = false;  ///< past and present may be one buffer
};

// Makes the files of each variant. Passes consume a graph, so validation interprets copies.
class Preparation {
 public:
  Preparation(const ExportPlan& plan, const RunOptions& options) : plan_(plan), options_(options) {}

  Files prepare(const Variant& variant);
  /// Shared by all variants with the same graphs before quantization.
  pipeline::Originals& originals(const Variant& variant) {
    const std::pair key(variant.dtype, variant.gelu);
    return originals_.try_emplace(key, options_.export_options.on_detail).first->second;
  }

 private:
  OnnxGraph lower(const Component& component, Graph graph, Files& files) const;

  const ExportPlan& plan_;
  const RunOptions& options_;
  std::map<std::pair<DType, Gelu>, pipeline::Originals> originals_;
};

// Here and in check_accounting, errors in the model or the options are found before anything is written.
Files Preparation::prepare(const Variant& variant) {
  Files files{.plan = plan_.part(variant)};
  const ExportPlan& plan = files.plan;
  pipeline::Originals& originals = this->originals(variant);
  for (const Component& one : plan.components) {
    const Component component = in_dtype(one, variant.dtype, plan.layout.float32_io());
    const Graph* known = originals.find(component.name);
    Graph graph = known == nullptr ? pipeline::build_component(plan.model, component, variant, plan.layout)
                                   : pass::copy(*known);
    if (options_.export_options.on_graph && plan_.variant_of(one).name == variant.name)
      options_.export_options.on_graph(component, graph);
    if (known == nullptr && (options_.validate || plan_.variants.size() > 1))
      originals.add(component, pass::copy(graph));
    if (variant.recipe) {
      graph = pipeline::quantize_component(std::move(graph), variant.recipe, files.summary);
      if (options_.validate) files.quantized.push_back(pass::copy(graph));
    }
    files.prepared.push_back(
        {plan.layout.path(component, variant), lower(component, std::move(graph), files)});
    files.prepared.back().graph.metadata = layout::metadata(plan, component);
  }
  const auto lowered = [&](const std::string& name) -> const OnnxGraph& {
    const auto index = &plan.component(name) - plan.components.data();
    return files.prepared[static_cast<std::size_t>(index)].graph;
  };
  for (const Merge& merge : plan.merges) {
    OnnxGraph merged = merge_decoders(lowered(merge.without_past), lowered(merge.with_past));
    files.prepared.push_back({plan.layout.path(merge, variant), std::move(merged)});
  }
  if (files.prepared.size() > 1) {
    for (Prepared& one : files.prepared) one.shared_data = plan.layout.shared_data_of(variant);
  }
  if (plan.layout.only_merged()) {
    std::erase_if(files.prepared, [&](const Prepared& one) {
      return std::any_of(plan.components.begin(), plan.components.end(), [&](const Component& component) {
        return plan.is_left_out(component) && one.path == plan.layout.path(component, variant);
      });
    });
  }
  return files;
}

void report_kept(const transform::QuantizeSummary& summary,
                 const std::function<void(const std::string&)>& listener) {
  if (summary.kept == 0 && summary.lost.empty() && summary.rounded.empty()) {
    throw ExportError(ErrorCode::invalid_argument,
                      "--quantize keep: the checkpoint has no quantized weights; use --quantize q4");
  }
  if (!summary.rounded.empty()) {
    pipeline::say(listener,
                  fmt::format("--quantize keep: {} weights, such as '{}', are not stored as integers in "
                              "blocks, and are rounded to 8 bits in blocks of 32",
                              summary.rounded.size(), *summary.rounded.begin()));
  }
  for (const auto& [reason, weights] : summary.lost) {
    pipeline::say(listener,
                  fmt::format("--quantize keep: {} quantized weights become floats, such as '{}': no "
                              "operator reads {}",
                              weights.size(), *weights.begin(), reason));
  }
}

OnnxGraph Preparation::lower(const Component& component, Graph graph, Files& files) const {
  const ExportOptions& how = options_.export_options;
  if (layout::may_share_cache(plan_, component)) {
    auto lowered = pipeline::lower_with_shared_cache(component, graph, plan_.opset, how,
                                                     files.plan.variants.front().recipe);
    files.shared_cache = lowered.has_value();
    if (lowered) return *std::move(lowered);
  }
  return pipeline::lower_component(component, std::move(graph), plan_.opset, how,
                                   files.plan.variants.front().recipe);
}

void report_quantization(const Files& files, const RunOptions& options, ExportReport& report) {
  if (!files.plan.variants.front().recipe) return;
  const auto& say = options.export_options.on_notice;
  for (const RecipeOverride& one : files.plan.variants.front().recipe.overrides) {
    if (!files.summary.matched.contains(one.modules))
      pipeline::say(say, fmt::format("--quantize-override {}={}: no layer has such a path", one.modules,
                                     one.precision));
  }
  if (files.plan.variants.front().recipe.keeps()) report_kept(files.summary, say);
  QuantizationReport& made = report.quantization.emplace_back();
  made.variant = files.plan.variants.front().name;
  std::set<std::string> weights;
  std::set<std::pair<std::string, std::string>> seen;  // other components have the same layers
  for (const transform::QuantizedLayer& layer : files.summary.layers) {
    pipeline::say(options.export_options.on_detail, fmt::format("{}: {} ({}) becomes {}", made.variant,
                                                                layer.path, layer.weight, layer.precision));
    if (!seen.emplace(layer.path, layer.weight).second) continue;
    ++made.layers;
    if (!weights.insert(layer.weight).second) {
      ++made.tied;
      continue;
    }
    made.parameters += layer.numel;
    made.bytes_before += layer.numel * static_cast<std::int64_t>(size_of(files.plan.variants.front().dtype));
    made.bytes_after += layer.bytes;
  }
  if (made.layers == 0) {
    pipeline::say(say, fmt::format("{}: no layer is large enough to be quantized; its files are plain floats",
                                   made.variant));
  }
}

std::vector<fs::path> paths_of(const std::vector<ExportedFile>& files) {
  std::vector<fs::path> paths;
  for (const ExportedFile& file : files) paths.push_back(file.path);
  return paths;
}

std::vector<std::string> folders_of(const ExportPlan& plan) {
  std::vector<std::string> folders;
  for (const Component& component : plan.components) folders.push_back(component.folder);
  return folders;
}

ExportReport describe(const ExportPlan& plan) {
  const Model& model = plan.model;
  ExportReport report;
  report.model_type = model.config().model_type();
  report.task = model.task();
  report.library = model.definition().library;
  report.dtype = short_name(plan.variants.front().dtype);
  report.opset = plan.opset;
  report.parameters = model.num_parameters();
  if (plan.components.size() == 1) {
    report.inputs = plan.components.front().interface.input_names();
    report.outputs = plan.components.front().interface.output_names();
  }
  return report;
}

}  // namespace

bool ExportReport::passed() const {
  return std::all_of(validation.begin(), validation.end(),
                     [](const ValidationReport& report) { return report.passed(); });
}

ExportReport run_plan(const ExportPlan& plan, const RunOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const ExportOptions& how = options.export_options;
  const Model& model = plan.model;
  ExportReport report = describe(plan);
  std::deque<Files> variants;  // graphs do not move
  if (how.target.attention == "gqa")
    pipeline::say(how.on_notice,
                  "--attention gqa: on the CPU, such a file takes several new tokens after a cache only for "
                  "one sequence at a time");
  const bool quantizes = std::any_of(plan.variants.begin(), plan.variants.end(), [](const Variant& variant) {
    return variant.recipe && !variant.recipe.keeps();
  });
  if (quantizes && model.config().has("quantization_config")) {
    pipeline::say(how.on_notice,
                  "the weights of the checkpoint are already quantized, and are rounded once more");
  }
  Preparation preparation(plan, options);
  for (const Variant& variant : plan.variants) {
    pipeline::check_options(how, plan.opset, variant.dtype);
    variants.push_back(preparation.prepare(variant));
  }
  pipeline::check_accounting(model, how);
  report.proof = get_proof(model);
  const std::vector<layout::SideFile> side_files = layout::side_files(plan, variants.front().shared_cache);
  std::vector<Prepared> prepared;
  for (Files& files : variants) {
    std::move(files.prepared.begin(), files.prepared.end(), std::back_inserter(prepared));
    files.prepared.clear();
    report_quantization(files, options, report);
  }
  pipeline::place_weights(prepared, how);
  // Companions come first, so that if a model exists, the other files exist too.
  const std::string made_config = model.has_made_config() ? model.config().text() : std::string();
  const bool is_pipeline = exporter::is_pipeline_folder(model.folder());
  std::vector<fs::path> companions =
      is_pipeline ? pipeline::copy_pipeline_companions(model.folder(), plan.layout.folder, model.config(),
                                                       folders_of(plan))
                  : pipeline::copy_companions(model.folder(), plan.layout.folder, made_config);
  if (!is_pipeline) pipeline::copy_companions_of_adapters(model, plan.layout.folder, companions);
  pipeline::write_side_files(side_files, companions);
  for (const fs::path& path : companions) report.files.push_back({path, fs::file_size(path)});
  const std::vector<std::string> left_out = is_pipeline ? pipeline::left_out_of_pipeline(model.folder())
                                                        : pipeline::left_out(model.weights_folder());
  for (const std::string& text : left_out) pipeline::say(how.on_notice, text);
  std::set<fs::path> folders;
  for (const auto& written : pipeline::write(prepared, how, layout::largest_data_file(plan))) {
    report.files.push_back({written.path, written.bytes});
    folders.insert(written.path.parent_path());
  }
  pipeline::write_side_files(layout::settings_of_files(plan, paths_of(report.files)), companions);
  for (const fs::path& folder : folders) {
    for (const fs::path& file : pipeline::remove_stale_data(folder))
      pipeline::say(how.on_notice,
                    fmt::format("removed {}: an earlier export wrote it, and no model in the folder uses it",
                                file.string()));
  }
  report.export_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!options.validate) return report;
  const pipeline::ValidateFilesOptions check{
      .atol = options.atol, .recorded = options.reference, .non_finite = options.non_finite};
  std::vector<pipeline::VariantGraphs> graphs;
  for (const Files& files : variants) {
    graphs.push_back({files.plan, preparation.originals(files.plan.variants.front()), files.quantized});
    auto validation = pipeline::validate_files(files.plan, graphs.back().originals, files.quantized, check);
    std::move(validation.begin(), validation.end(), std::back_inserter(report.validation));
  }
  if (auto composed = pipeline::validate_composition(plan, graphs, check))
    report.validation.push_back(*std::move(composed));
  return report;
}

}  // namespace onnxport
