/// Checks files that still have their temporary names.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace onnxport::serialize {

/// `check_model_file` for a file at `path`. Messages use `name`. `renamed` maps locations of external data to
/// the current names of these files.
void check_written(const std::filesystem::path& path, const std::string& name,
                   const std::map<std::string, std::string>& renamed);

}  // namespace onnxport::serialize
