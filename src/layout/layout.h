/// What a client expects of an export: the components that it can run, and files beside the models.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
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

/// Whether the client pads on the right and can hand over one buffer for the keys and values of past and
/// present, if the file of the component allows that.
bool may_share_cache(const ExportPlan& plan, const Component& component);

/// The files of the layout beside the models, in its folder. `shared_cache`: the decoder of the first variant
/// allows one buffer for past and present. Throws like arrange(), and ExportError(bad_config) if a setting
/// that the client needs is missing or invalid.
std::vector<SideFile> side_files(const ExportPlan& plan, bool shared_cache);

/// Settings that the client reads from the metadata of the component's file.
std::vector<std::pair<std::string, std::string>> metadata(const ExportPlan& plan, const Component& component);

/// Files that depend on the written models. `written`: all files of the export.
std::vector<SideFile> settings_of_files(const ExportPlan& plan,
                                        const std::vector<std::filesystem::path>& written);

/// What the client can load at once, in bytes; 0: no limit.
std::uint64_t largest_data_file(const ExportPlan& plan);

}  // namespace onnxport::layout
