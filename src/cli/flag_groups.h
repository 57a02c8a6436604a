/// Flags that several commands share.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "onnxport/dummy_inputs.h"
#include "onnxport/export.h"
#include "onnxport/hub.h"
#include "onnxport/validate.h"

namespace CLI {
class App;
}

namespace onnxport::cli {

/// -q, -v, --json
void add_voice(CLI::App& app, Voice& voice);
/// --plugin
void add_plugins(CLI::App& app, std::vector<std::string>& plugins);
/// --adapter
void add_adapters(CLI::App& app, std::vector<std::filesystem::path>& adapters);
/// Extents of dummy inputs: --batch_size, …
void add_shapes(CLI::App& app, DummyShapes& shapes);
/// Which files of a repository: --weights-variant, --revision, --token, …
void add_hub(CLI::App& app, HubOptions& hub);
/// --optimize
void add_level(CLI::App& app, std::string& level);
/// --layout
void add_layout(CLI::App& app, std::string& layout);
/// --allow-non-finite
void add_non_finite(CLI::App& app, NonFinite& non_finite);
/// --output-hidden-states, --output-attentions, --num-logits-to-keep, --no-position-ids,
/// --output-cross-attentions
void add_interface_options(CLI::App& app, InterfaceOptions& options);
/// --int-dtype
void add_int_dtype(CLI::App& app, std::string& dtype);

}  // namespace onnxport::cli
