/// From the name of a PyTorch class to a task.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace onnxport::exporter {

/// Tasks that an architecture name (`BertForMaskedLM`) suggests, most likely first, without `-with-past`.
/// Empty if the name suggests none.
std::vector<std::string_view> tasks_of_architecture(std::string_view architecture);

}  // namespace onnxport::exporter
