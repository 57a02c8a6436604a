#include "models/vision/common/stages.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"

namespace onnxport::models {
namespace {

// So that products of a few numbers stay far from overflow.
constexpr std::int64_t kLargest = std::int64_t{1} << 20;

}  // namespace

std::vector<std::int64_t> per_stage(const PretrainedConfig& config, const char* key, std::int64_t stages,
                                    std::int64_t least) {
  std::vector<std::int64_t> list = config.integers(key);
  const auto bad = [&](std::int64_t value) { return value < least || value > kLargest; };
  if (std::ssize(list) < stages || std::any_of(list.begin(), list.end(), bad)) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} is [{}], expected a number from {} to {} for each of {} stages",
                                  config.origin(), key, fmt::join(list, ", "), least, kLargest, stages));
  }
  return list;
}

std::vector<double> reals_per_stage(const PretrainedConfig& config, const char* key, std::int64_t stages) {
  std::vector<double> list = config.reals(key);
  const auto good = [](double value) { return value > 0 && value <= kLargest; };
  if (std::ssize(list) < stages || !std::all_of(list.begin(), list.end(), good)) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} is [{}], expected a positive number for each of {} stages",
                                  config.origin(), key, fmt::join(list, ", "), stages));
  }
  return list;
}

std::int64_t stage_count(const PretrainedConfig& config, const char* key) {
  constexpr std::int64_t kMost = 16;
  const std::int64_t count = std::ssize(config.integers(key));
  if (count < 1 || count > kMost) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} lists {} stages, expected 1 to {}",
                                                         config.origin(), key, count, kMost));
  }
  return count;
}

std::int64_t moderate(const PretrainedConfig& config, const char* key, std::int64_t least) {
  const std::int64_t value = config.integer(key);
  if (value < least || value > kLargest) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} is {}, expected {} to {}", config.origin(),
                                                         key, value, least, kLargest));
  }
  return value;
}

void check_stage_heads(const PretrainedConfig& config, std::string_view width_key,
                       const std::vector<std::int64_t>& widths, std::string_view heads_key,
                       const std::vector<std::int64_t>& heads) {
  for (std::size_t i = 0; i < std::min(widths.size(), heads.size()); ++i) {
    if (widths[i] % heads[i] == 0) continue;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: stage {} has {} channels ({}), which is not a multiple of its {} heads ({})",
                    config.origin(), i, widths[i], width_key, heads[i], heads_key));
  }
}

std::int64_t round_channels(double channels, std::int64_t divisor, std::int64_t least) {
  constexpr double kMost = 1e12;
  const double wanted = channels > 0 ? std::min(channels, kMost) : 0;
  const auto half_more = static_cast<std::int64_t>(wanted + static_cast<double>(divisor) / 2);
  const std::int64_t nearest = std::max(least, half_more / divisor * divisor);
  return static_cast<double>(nearest) < 0.9 * wanted ? nearest + divisor : nearest;
}

}  // namespace onnxport::models
