/// The modules of a Sentence Transformers folder.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/export_macro.h"

namespace onnxport {

/// An entry of modules.json.
struct ONNXPORT_API SentenceModule {
  std::string type;  ///< the class: "sentence_transformers.models.Pooling"
  std::string path;  ///< its folder below that of modules.json, with `/`; empty: that folder itself

  /// The name of an official class ("Pooling"); empty for a class outside of `sentence_transformers`.
  std::string kind() const;
  /// The path of a file of this module: "1_Pooling/config.json".
  std::string file(std::string_view name) const;
};

/// Reads modules.json from its text; `origin` names it in errors. Throws ExportError(bad_config) unless it is
/// a list of objects with a `type` and a `path` inside the folder.
ONNXPORT_API std::vector<SentenceModule> parse_modules(std::string_view text, const std::string& origin);

/// The same for `folder/modules.json`; empty if there is no such file.
ONNXPORT_API std::vector<SentenceModule> read_modules(const std::filesystem::path& folder);

}  // namespace onnxport
