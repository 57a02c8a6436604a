#include "pipeline/adapter_files.h"

#include <algorithm>
#include <system_error>

#include "pipeline/companions.h"

namespace onnxport::pipeline {

namespace fs = std::filesystem;

void copy_companions_of_adapters(const Model& model, const fs::path& to, std::vector<fs::path>& written) {
  std::error_code ignored;
  for (const fs::path& adapter : model.adapters()) {
    if (fs::equivalent(adapter, model.folder(), ignored)) continue;
    // With a text for config.json, one in the adapter's folder is left out.
    for (const fs::path& file : copy_companions(adapter, to, model.config().text())) {
      if (std::find(written.begin(), written.end(), file) == written.end()) written.push_back(file);
    }
  }
  std::sort(written.begin(), written.end());
}

}  // namespace onnxport::pipeline
