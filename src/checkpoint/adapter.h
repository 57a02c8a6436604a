/// LoRA adapters: each adapted weight becomes the tensor that merging gives, computed when it is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace onnxport {

/// What the configuration of a LoRA adapter says about its tensors.
struct LoraSettings {
  std::string origin;     ///< the file, for messages
  std::int64_t rank = 8;  ///< `r`
  double alpha = 8;       ///< `lora_alpha`
  /// Regular expressions of the ends of module paths, with what holds for these modules instead. The first
  /// that matches counts.
  std::vector<std::pair<std::string, std::int64_t>> rank_pattern = {};
  std::vector<std::pair<std::string, double>> alpha_pattern = {};
  enum class Scaling { by_rank, by_root_of_rank };  ///< alpha / r, or alpha / sqrt(r) (`use_rslora`)
  Scaling scaling = Scaling::by_rank;
  bool dora = false;       ///< `use_dora`: there must be magnitudes
  bool lora_bias = false;  ///< there must be biases
  /// Ends of the paths of modules whose weights the adapter may bring along: `modules_to_save`, and the heads
  /// of its task.
  std::vector<std::string> saved_modules = {};
};

/// A checkpoint with an adapter in it.
struct MergedCheckpoint {
  std::shared_ptr<const Checkpoint> checkpoint;
  std::vector<std::string> changed;  ///< all keys that the adapter replaces or adds, sorted
  std::vector<std::string> saved;    ///< those of them whose tensors came as a whole
  std::size_t modules = 0;           ///< number of modules that LoRA adapts
};

/// Merges an adapter into a checkpoint. All is computed in float32, and the results are float32:
///
/// - A weight W [out, in] becomes W + s B A, with A [r, in], B [out, r] and s = alpha / r. An embedding, and
/// a
///   weight that is stored as [in, out] (GPT-2), gets the transpose of B A. The kernel of a convolution is a
///   matrix [out, in * kernel]. Shapes tell how a weight is stored; of a square one, the modules beside it.
/// - With magnitudes m (DoRA), V = W + s B A becomes m V / |V|, with one norm per output.
/// - A bias b becomes b + s b_B if lora_B has a bias.
/// - A tensor that is not one of LoRA replaces the one of the base model.
///
/// The product B A is never whole: a range of elements is computed from tiles of A and B. Only the norms of
/// DoRA, one number per output, are kept.
///
/// Throws ExportError(bad_checkpoint) that names file, key, and what was got and expected: for tensors that
/// match no module of the base model, shapes that do not fit, and halves of pairs; ExportError(bad_config)
/// for an invalid pattern, and ExportError(unsupported) for tensors of another method.
///
/// https://github.com/huggingface/peft/blob/v0.18.1/src/peft/tuners/lora/layer.py
/// https://github.com/huggingface/peft/blob/v0.18.1/src/peft/tuners/lora/dora.py
MergedCheckpoint merge_adapter(const Checkpoint& base, const Checkpoint& adapter,
                               const LoraSettings& settings);

}  // namespace onnxport
