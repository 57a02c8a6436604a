/// Feeds arbitrary bytes to the reader of config.json and asks for everything. Nothing but ExportError may
/// come out.
#include <cstdint>
#include <string>
#include <string_view>

#include "onnxport/config.h"
#include "onnxport/error.h"

namespace {

using onnxport::ExportError;
using onnxport::PretrainedConfig;

/// Did the lookup give an answer? ExportError is the one way not to.
template <class Lookup>
bool attempt(Lookup lookup) {
  try {
    lookup();
    return true;
  } catch (const ExportError&) {
    return false;
  }
}

void ask(const PretrainedConfig& config, int depth) {
  for (const std::string_view key :
       {"hidden_size", "id2label", "rope_scaling", "text_config", "x", "a.b", ""}) {
    attempt([&] { config.has(key); });
    attempt([&] { config.integer(key); });
    attempt([&] { config.real(key, 1.0); });
    attempt([&] { config.flag(key); });
    attempt([&] { config.string(key); });
    attempt([&] { config.integers(key); });
    attempt([&] { config.reals(key); });
    attempt([&] { config.strings(key); });
    attempt([&] { config.maybe_integer(key); });
    attempt([&] {
      if (depth < 3) ask(config.sub(key), depth + 1);
    });
  }
  attempt([&] { config.num_labels(); });
  attempt([&] { config.architectures(); });
  attempt([&] { config.unaccounted().integer("hidden_size"); });
  attempt([&] { onnxport::NormalizedTextConfig(config).with_args({{"q", "text_config.x"}}).maybe("q"); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  attempt([&] {
    const auto config =
        PretrainedConfig::from_json({reinterpret_cast<const char*>(data), size}, "config.json", "bert");
    config.unread_knobs();
    ask(config, 0);
    config.harmless({"x", "hidden_size"});
    config.unread_knobs();
    config.unknown_keys();
  });
  return 0;
}
