#include "runtime/providers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <string_view>
#include <vector>

#include "runtime/library.h"

namespace onnxport::runtime {
namespace {

constexpr std::string_view kSuffix = "ExecutionProvider";

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/// Their names without the suffix: "CPU", "CUDA".
std::vector<std::string> available_providers() {
  const Library& ort = Library::get();
  char** names = nullptr;
  int count = 0;
  ort.check(api().GetAvailableProviders(&names, &count), "listing providers");
  std::vector<std::string> providers;
  for (int i = 0; i < count; ++i) {
    std::string name = names[i];
    if (name.ends_with(kSuffix)) name.resize(name.size() - kSuffix.size());
    providers.push_back(std::move(name));
  }
  ort.check(api().ReleaseAvailableProviders(names, count), "listing providers");
  return providers;
}

}  // namespace

void add_provider(OrtSessionOptions* options, const std::string& provider) {
  std::string wanted = lower(provider);
  if (wanted.ends_with(lower(std::string(kSuffix)))) wanted.resize(wanted.size() - kSuffix.size());
  if (wanted.empty() || wanted == "cpu") return;
  const std::vector<std::string> providers = available_providers();
  const auto found =
      std::ranges::find_if(providers, [&](const std::string& name) { return lower(name) == wanted; });
  if (found == providers.end()) {
    fail(fmt::format("this onnx runtime has no provider '{}'; it has {}", provider,
                     fmt::join(providers, ", ")));
  }
  const Library& ort = Library::get();
  if (*found == "CUDA") {  // the general function does not know it
    const auto cuda = make<OrtCUDAProviderOptionsV2>(provider, api().CreateCUDAProviderOptions);
    ort.check(api().SessionOptionsAppendExecutionProvider_CUDA_V2(options, cuda.get()), provider);
    return;
  }
  ort.check(api().SessionOptionsAppendExecutionProvider(options, found->c_str(), nullptr, nullptr, 0),
            provider);
}

}  // namespace onnxport::runtime
