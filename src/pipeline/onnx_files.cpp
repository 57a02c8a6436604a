#include "onnxport/onnx_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "config/json.h"
#include "pipeline/companions.h"
#include "pipeline/ort_config.h"
#include "pipeline/stale_data.h"
#include "serialize/quantize/quantize_files.h"
#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

/// The folder of the models: that of the file if it is one.
fs::path folder_of(const fs::path& onnx_model) {
  std::error_code error;
  if (fs::is_directory(onnx_model, error)) return onnx_model;
  if (!fs::exists(onnx_model, error)) {
    fail(ErrorCode::io, "there is no {}: expected a folder with .onnx files, or one of them",
         onnx_model.string());
  }
  return onnx_model.has_parent_path() ? onnx_model.parent_path() : fs::path(".");
}

std::vector<fs::path> models_in(const fs::path& onnx_model) {
  if (!fs::is_directory(onnx_model)) return {onnx_model};
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(onnx_model)) {
    if (entry.is_regular_file() && entry.path().extension() == ".onnx") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (!files.empty()) return files;
  const fs::path below = onnx_model / "onnx";
  fail(ErrorCode::io, "{} has no .onnx file{}", onnx_model.string(),
       fs::is_directory(below) ? fmt::format("; did you mean {}?", below.string())
                               : std::string(": export a model to it first"));
}

bool is_same_folder(const fs::path& a, const fs::path& b) {
  return fs::weakly_canonical(fs::absolute(a)) == fs::weakly_canonical(fs::absolute(b));
}

void say(const QuantizeOptions& options, const std::string& text) {
  if (options.on_notice) options.on_notice(text);
}

/// As one argument of a shell.
std::string shell_argument(const std::string& text) {
  const bool plain = !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) ||
           std::string_view("_-./:+@%").find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

std::vector<QuantizedModelFile> quantize_onnx_files(const QuantizeOptions& options) {
  const fs::path folder = folder_of(options.onnx_model);
  if (is_same_folder(folder, options.output)) {
    fail(ErrorCode::invalid_argument,
         "the output folder {} holds the models to quantize: name another folder", options.output.string());
  }
  std::vector<serialize::FileToQuantize> files;
  for (const fs::path& path : models_in(options.onnx_model))
    files.push_back({path, options.output / (path.stem().string() + "_quantized.onnx")});
  serialize::QuantizeFilesOptions how;
  how.how = options.quantization;
  if (options.external_data) how.write.external_data = serialize::ExternalData::always;
  how.write.on_progress = options.on_progress;
  how.on_notice = options.on_notice;
  // If a model exists, the other files exist too.
  how.before_writing = [&] {
    std::vector<fs::path> companions = pipeline::copy_companions(folder, options.output);
    pipeline::write_side_files({{options.output / pipeline::kOrtConfig, pipeline::ort_config_text(options)}},
                               companions);
  };
  std::vector<QuantizedModelFile> results;
  for (const serialize::QuantizedFile& file : serialize::quantize_files(files, how)) {
    results.push_back({file.from, file.to, file.bytes_before, file.bytes, file.nodes});
    if (file.nodes.empty())
      say(options, fmt::format("{} has no node that can be quantized: the result computes the same",
                               file.from.string()));
  }
  for (const fs::path& path : pipeline::remove_stale_data(options.output))
    say(options, fmt::format("removed {}: no model in the folder uses it", path.string()));
  return results;
}

std::string optimizing_export_command(const fs::path& onnx_model, const fs::path& output,
                                      const std::string& level) {
  const fs::path config = folder_of(onnx_model) / "config.json";
  std::string model;
  if (fs::exists(config)) {
    const nlohmann::json values = config::parse_json(config::read_json_text(config), config.string());
    const auto name = values.find("_name_or_path");
    if (name != values.end() && name->is_string()) model = name->get<std::string>();
  }
  return fmt::format("onnxport export onnx --model {} --optimize {} {}",
                     model.empty() ? std::string("MODEL") : shell_argument(model), level,
                     shell_argument(output.string()));
}

}  // namespace onnxport
