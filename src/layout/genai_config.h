/// genai_config.json: the settings of onnxruntime-genai 0.18, which names graphs, tensors and sizes.
///
/// Source: the client's reader (src/config.cpp of its repository), and the file that its builder makes
/// (models/builders/base.py of the package). An unknown key is an error there.
#pragma once

#include <string>

#include "onnxport/plan.h"

namespace onnxport::layout {

/// The text of genai_config.json for a plan: each graph in the first variant that makes it. `shared_cache`:
/// past and present keys and values may be one buffer. Throws ExportError(unsupported), with the reason, for
/// a plan that this client cannot run, and ExportError(bad_config) for missing or invalid token ids.
std::string genai_config(const ExportPlan& plan, bool shared_cache = false);

/// Whether the plan has an encoder of its own beside a decoder.
bool has_encoder(const ExportPlan& plan);

/// The component of a standalone decoder with a cache. Throws ExportError(unsupported) for other plans.
const Component& decoder_of(const ExportPlan& plan);

/// Throws ExportError(unsupported) that gives the reason and names the layouts for other clients.
[[noreturn]] void refuse_genai(const ExportPlan& plan, const std::string& reason);

}  // namespace onnxport::layout
