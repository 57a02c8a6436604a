/// Keys that a class knows by a second name.
#pragma once

#include <string_view>
#include <vector>

namespace onnxport::config {

struct Rename {
  std::string_view written;  ///< the name in a file
  std::string_view read;     ///< the name in the class, and in its modelling code
  bool wins;                 ///< if a file has both: the class assigns `written` last
};

/// The renames of a type's class: its attribute_map, and what its constructor takes under another name.
std::vector<Rename> renamed_keys(std::string_view model_type);

}  // namespace onnxport::config
