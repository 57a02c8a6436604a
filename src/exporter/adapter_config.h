/// adapter_config.json, which peft writes beside the weights of an adapter.
#pragma once

#include <array>
#include <filesystem>
#include <string>

#include "checkpoint/adapter.h"

namespace onnxport::exporter {

/// The configuration of a LoRA adapter.
struct AdapterConfig {
  LoraSettings lora;
  std::string base;        ///< `base_model_name_or_path`: a folder or the id of a repository; may be empty
  std::string revision;    ///< of that repository; may be empty
  std::string task_type;   ///< "SEQ_CLS"; may be empty
  std::string base_class;  ///< class of the base model (`auto_mapping`): "BertModel"; may be empty
};

inline constexpr const char* kAdapterConfig = "adapter_config.json";
/// Names of its weights file, best first.
inline constexpr std::array<const char*, 2> kAdapterWeights = {"adapter_model.safetensors",
                                                               "adapter_model.bin"};

/// Whether the folder holds an adapter of diffusers, which has no configuration: pipeline_lora.h.
bool has_pipeline_adapter(const std::filesystem::path& folder);
/// Whether the folder holds an adapter, of peft or of diffusers.
bool has_adapter(const std::filesystem::path& folder);

/// Reads `folder/adapter_config.json`; of an adapter of diffusers, only the name of the file is known. Keys
/// that only concern training or initialization are not looked at. Throws ExportError(bad_config) if it is
/// missing or broken, and ExportError(unsupported) that names key, value and the next step for a method other
/// than LoRA, for settings that change the computation, and for keys that are unknown and set.
/// https://github.com/huggingface/peft/blob/v0.18.1/src/peft/tuners/lora/config.py
AdapterConfig read_adapter_config(const std::filesystem::path& folder);

}  // namespace onnxport::exporter
