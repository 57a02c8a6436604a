/// What a client expects of an export: the components that it can run, and files beside the models.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// A file that a client reads beside the models.
struct SideFile {
  std::filesystem::path path;
  std::string text;
};

/// The plan for the client of its layout (Layout::name): components that the client runs, with the interfaces
/// that it expects. Throws ExportError(unsupported) if the client cannot run the model.
ExportPlan arrange(ExportPlan plan);

/// The files of the layout beside the models, in its folder. Throws like arrange(), and
/// ExportError(bad_config) if a setting that the client needs is missing or invalid.
std::vector<SideFile> side_files(const ExportPlan& plan);

}  // namespace onnxport::layout
