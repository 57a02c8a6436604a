#include "models/audio/common/encodec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "onnxport/error.h"

namespace onnxport::models {
namespace {

bool has_time_norm(const PretrainedConfig& c) {
  const std::string norm = c.string("norm_type");
  if (norm == "weight_norm" || norm == "time_group_norm") return norm == "time_group_norm";
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: norm_type is '{}', expected weight_norm or time_group_norm", c.origin(), norm));
}

std::vector<Codebook> codebooks(const Scope& s, const EncodecConfig& c, std::int64_t count) {
  std::vector<Codebook> all;
  for (std::int64_t i = 0; i < count; ++i) {
    const Scope codebook = s / "quantizer" / "layers" / i / "codebook";
    all.emplace_back(codebook.path(), codebook.weight("embed", {c.codebook_size, c.seanet.hidden_size}));
  }
  return all;
}

}  // namespace

EncodecConfig::EncodecConfig(const PretrainedConfig& c)
    : seanet(c), codebook_size(c.integer("codebook_size")) {
  seanet.time_norm = has_time_norm(c);
  seanet.lstm_layers = c.integer("num_lstm_layers");
  for (const char* key : {"chunk_length_s", "normalize"}) {
    const bool set = std::string_view(key) == "normalize" ? c.flag(key) : c.maybe_real(key).has_value();
    if (!set) continue;
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: {} is set: such codes come with scales, and in chunks that overlap; "
                                  "only whole signals as they are can be exported",
                                  c.origin(), key));
  }
  c.harmless({"overlap"});  // of chunks
  const std::int64_t width = c.maybe_integer("codebook_dim").value_or(seanet.hidden_size);
  const std::int64_t rate = c.integer("sampling_rate");
  const std::vector<double> bandwidths = c.reals("target_bandwidths");
  const bool power = codebook_size >= 2 && (codebook_size & (codebook_size - 1)) == 0;
  if (width != seanet.hidden_size || !power || codebook_size > (1 << 24) || rate < 1 || bandwidths.empty() ||
      seanet.lstm_layers < 0) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: codebook_dim is {} and hidden_size {}, codebook_size is {}, sampling_rate is {}, "
                    "{} target_bandwidths, num_lstm_layers is {}; expected codebooks of that width with a "
                    "power of 2 of vectors, and at least one bandwidth",
                    c.origin(), width, seanet.hidden_size, codebook_size, rate, bandwidths.size(),
                    seanet.lstm_layers));
  }
  const std::int64_t hop = seanet.hop_length();
  const std::int64_t frames_per_second = (rate + hop - 1) / hop;
  const double bits = std::log2(static_cast<double>(codebook_size));
  const double bits_per_second = bits * static_cast<double>(frames_per_second);
  const auto count = [&](double bandwidth) {
    constexpr double kMost = 1 << 16;
    return static_cast<std::int64_t>(std::clamp(std::floor(bandwidth * 1000 / bits_per_second), 0.0, kMost));
  };
  codebooks = count(bandwidths.back());
  used = std::min(std::max<std::int64_t>(count(bandwidths.front()), 1), codebooks);
  if (used < 1) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: the last of target_bandwidths is {}, which is no codebook of {} bits "
                                  "a second",
                                  c.origin(), bandwidths.back(), bits_per_second));
  }
}

Value encodec_codes(const Scope& s, const EncodecConfig& c, Value samples) {
  const Value hidden = seanet_encode(s / "encoder", c.seanet, samples);
  const Value codes = residual_codes(op::transpose(hidden, 1, 2), codebooks(s, c, c.used));
  return op::unsqueeze(codes, 0);
}

Value encodec_samples(const Scope& s, const EncodecConfig& c, Value codes) {
  const Value chunk = op::squeeze(codes, 0);
  const Value vectors = sum_of_vectors(chunk, codebooks(s, c, *chunk.dim(1).constant()));
  return seanet_decode(s / "decoder", c.seanet, op::transpose(vectors, 1, 2));
}

}  // namespace onnxport::models
