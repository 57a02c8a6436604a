// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace onnxport::test {

std::string source_dir();  // the project's folder
std::string program();     // build/onnxport
std::string plugin_dir();  // those of tests/plugins/
std::string
minilm_dir();  // a real checkpoint (config.json, model.safetensors); `tools/setup.sh demo` puts it there

}  // namespace onnxport::test
