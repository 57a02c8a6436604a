/// The commands of the program. Each returns its exit status.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/quantize_flags.h"
#include "onnxport/error.h"
#include "onnxport/export.h"

namespace onnxport::cli {

/// How much a command prints, and in which form.
struct Voice {
  bool quiet = false;
  bool verbose = false;
  bool json = false;
};

/// The flags of `export onnx`. Those beside `options` exist only on the command line.
struct ExportFlags {
  MainExportOptions options;
  Voice voice;
  // Most of these come from Optimum and have no effect or are refused here; see `explain_flags`.
  std::string device = "cpu";
  std::string framework = "pt";
  std::string optimize;
  QuantizeFlags quantize;
  std::string model_kwargs;
  std::optional<std::int64_t> pad_token_id;
  std::filesystem::path report;  ///< a page to write; empty: none
  bool framework_given = false;
  bool trust_remote_code = false;
  bool no_constant_folding = false;
  bool dynamo = false;
  bool slim = false;
  bool no_post_process = false;
  bool monolith = false;
};

struct ValidateFlags {
  MainValidateOptions options;
  std::string optimize;
  QuantizeFlags quantize;
  bool monolith = false;
  Voice voice;
};

struct InspectFlags {
  std::filesystem::path path;
  std::vector<std::filesystem::path> adapters;
  std::string task = "auto";
  bool nodes = false;
  HubOptions hub;
  Voice voice;
};

int run_export(ExportFlags flags);
int run_validate(ValidateFlags flags);
int run_inspect(InspectFlags flags);
int run_list(const Voice& voice);

/// The folders of a model and its adapters: themselves, or those of repositories on the Hub, downloaded if
/// necessary. Resets `hub`, except for the variant of the weights, which opening the model needs.
ModelSource find_source(const std::filesystem::path& model,
                        const std::vector<std::filesystem::path>& adapters, HubOptions& hub,
                        const Voice& voice);

/// Exit status of an error code.
int exit_status(ErrorCode code);

}  // namespace onnxport::cli
