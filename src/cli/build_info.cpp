#include "cli/build_info.h"

#include <fmt/core.h>

#include <CLI/Version.hpp>

#include "onnxport/version.h"

namespace onnxport::cli {

json build_info() {
  constexpr const char* kCommit = ONNXPORT_COMMIT;
  constexpr int kMajor = 10000, kMinor = 100;
  const auto fmt_version =
      fmt::format("{}.{}.{}", FMT_VERSION / kMajor, FMT_VERSION % kMajor / kMinor, FMT_VERSION % kMinor);
  const auto json_version = fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                                        NLOHMANN_JSON_VERSION_PATCH);
  return {{"name", "onnxport"},
          {"version", kVersion},
          {"commit", *kCommit == '\0' ? json() : json(kCommit)},
          {"build_type", ONNXPORT_BUILD_TYPE},
          {"compiler", ONNXPORT_COMPILER},
          {"target", ONNXPORT_BUILT_FOR},
          {"libraries",
           {{"onnx", ONNXPORT_ONNX_VERSION},
            {"onnxruntime", ONNXPORT_ORT_VERSION},
            {"protobuf", ONNXPORT_PROTOBUF_VERSION},
            {"zlib", ONNXPORT_ZLIB_VERSION},
            {"eigen", ONNXPORT_EIGEN_VERSION},
            {"fmt", fmt_version},
            {"nlohmann_json", json_version},
            {"cli11", CLI11_VERSION}}}};
}

}  // namespace onnxport::cli
