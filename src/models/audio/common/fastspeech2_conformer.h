/// FastSpeech 2 with Conformer layers: text to a spectrogram. (Ren et al. 2021, Guo et al. 2021)
#pragma once

#include "models/common/definition.h"

namespace onnxport::models {

/// input_ids, attention_mask, and speaker_ids where there is more than one speaker.
AxesByName fastspeech2_inputs(const PretrainedConfig& config);
/// Dummy inputs of these.
DummyInputGenerators fastspeech2_generators();

/// Spectrogram [B, frames, mel_bins].
Value fastspeech2_spectrogram(const Scope& s, const PretrainedConfig& config, const Inputs& inputs);

}  // namespace onnxport::models
