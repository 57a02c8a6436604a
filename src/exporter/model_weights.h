/// The weights files of a model.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/model.h"

namespace onnxport {

/// The weights files of a model, opened on first use.
struct Model::Weights {
  struct Part {
    std::shared_ptr<const Checkpoint> checkpoint;
    std::shared_ptr<KeyAccounting> accounting = std::make_shared<KeyAccounting>();
  };
  std::map<std::string, Part> parts;                ///< by subfolder; "" is the checkpoint folder itself
  std::set<std::string> built;                      ///< names of the components whose graphs were built
  std::map<std::string, PretrainedConfig> configs;  ///< of modules, by file
  std::vector<std::string> notices;                 ///< of the definition
  std::set<std::string, std::less<>> adapted;       ///< keys of the checkpoint folder that adapters change

  /// The same files, with nothing recorded as read.
  std::shared_ptr<Weights> unread() const {
    auto copy = std::make_shared<Weights>();
    for (const auto& [subfolder, part] : parts) copy->parts.emplace(subfolder, Part{part.checkpoint});
    copy->adapted = adapted;
    return copy;
  }
};

}  // namespace onnxport
