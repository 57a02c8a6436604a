/// LoRA adapters of diffusion pipelines, as diffusers and the programs around it save them.
#pragma once

#include <filesystem>
#include <memory>

#include "checkpoint/adapter.h"
#include "checkpoint/checkpoint.h"

namespace onnxport {

/// The file of such an adapter. It has no configuration beside it.
inline constexpr const char* kPipelineLora = "pytorch_lora_weights.safetensors";

/// An adapter under the names that merge_adapter() reads.
struct PipelineLora {
  std::shared_ptr<const Checkpoint> tensors;
  LoraSettings settings;
};

/// Reads the names of diffusers (`unet.….to_q.lora_A.weight`), its older ones (`….to_q.lora.down.weight`,
/// `….processor.to_q_lora.down.weight`, `….q_proj.lora_linear_layer.down.weight`), and those of kohya's
/// scripts for modules of diffusers (`lora_unet_…_to_q.lora_down.weight` with `….alpha`). `base` has the
/// modules; its keys begin with the names of components. Ranks are those of the tensors. The scale is alpha /
/// rank, with the alpha of the file's metadata or of a tensor, and else 1. Throws ExportError(bad_checkpoint
/// | unsupported).
PipelineLora read_pipeline_lora(const std::filesystem::path& file, const Checkpoint& base);

}  // namespace onnxport
