/// Shared parts of text to speech: durations, the network behind a spectrogram, vocoders.
#pragma once

#include <cstdint>

#include "models/common/definition.h"
#include "onnxport/nn/sound.h"

namespace onnxport::models {

/// Tokens that last several frames. The data decide how many frames there are: a dimension of its own,
/// `frames`.
struct Frames {
  Value numbers;  ///< int64 [frames]: 0, 1, …
  Value tokens;   ///< bool [B, frames, L]: the token of each frame; none behind the last one of a row

  /// `durations`: whole numbers, float32 [B, L]. `lengths`: int64 [B, 1], at least their sums; the largest
  /// one is the number of frames.
  Frames(Value durations, Value lengths);
};

/// A term of the scores for each pair of query and key: query [B, H, L, d] times the row of rows [n, d] at
/// place int64 [L, L] -> [B, H, L, L]
Value scores_by_place(Value query, Value rows, Value place);

/// Sines and cosines of positions, float32 [n], one after the other: float32 [n, width]. Throws
/// ExportError(bad_config) for an odd width. (Vaswani et al. 2017)
Value interleaved_sinusoids(Value positions, std::int64_t width);

/// The convolutions behind a spectrogram, of which all but the last end with a tanh.
struct PostnetParameters {
  std::int64_t mel_bins, layers, units, kernel;
  /// Reads num_mel_bins and speech_decoder_postnet_{layers, units, kernel}. Throws ExportError(bad_config)
  /// for an even kernel.
  explicit PostnetParameters(const PretrainedConfig& c);
};
/// spectrogram [B, frames, mel_bins] -> the same with what the convolutions add. Keys: layers.{i}.{conv,
/// batch_norm}.
Value speech_postnet(const Scope& s, const PostnetParameters& p, Value spectrogram);

/// Reads upsample_*, resblock_* and leaky_relu_slope.
nn::HifiGanParameters hifigan_parameters(const PretrainedConfig& c, std::int64_t in);
/// The vocoder of type hifigan: spectrogram [B, frames, model_in_dim] -> samples [B, S]. Keys: those of
/// HifiGan, mean, scale.
Value hifigan_waveform(const Scope& s, const PretrainedConfig& c, Value spectrogram);

}  // namespace onnxport::models
