/// The parts of the page's data.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/inspect.h"

namespace onnxport::report {

using json = nlohmann::ordered_json;

/// A file of the export.
struct ModelFile {
  std::filesystem::path path;
  std::string name;       ///< in the page
  std::string component;  ///< the stem without the suffix of its precision
  std::string variant;    ///< the suffix without its dash; empty: none
  ModelSummary model;
};

/// Reads the files, with the types of their values. Names are relative to their common folder.
std::vector<ModelFile> read_files(const std::vector<std::filesystem::path>& paths);

/// The folder that holds all of them; empty if there are none.
std::filesystem::path common_folder(const std::vector<ModelFile>& files);

json describe(const ModelFile& file);

/// Where outputs go: to inputs of other files, or of the same file in its next call. One link for each pair
/// of components, with the names of the tensors.
json find_links(const std::vector<ModelFile>& files);

/// The results of commands by kind (`export`, `validation`, `bench`), with the names that the page has for
/// files. Throws ExportError(invalid_argument) for JSON that is none of these.
json sort_results(const std::vector<std::pair<std::string, std::string>>& results,
                  const std::vector<ModelFile>& files);

}  // namespace onnxport::report
