/// The tensors that LoRA adds to one module, and the weight that they make.
#pragma once

#include <map>
#include <string>

#include "checkpoint/adapter.h"
#include "checkpoint/adapter_keys.h"
#include "onnxport/weight.h"

namespace onnxport {

/// A module of an adapter.
struct LoraModule {
  struct Tensor {
    std::string key;  ///< in the adapter's file
    Weight weight;
  };
  std::string path;  ///< in the model of the adapter
  std::string file;  ///< of the adapter, for messages
  std::map<AdapterKey::Part, Tensor> tensors = {};

  const Tensor* find(AdapterKey::Part part) const;
};

/// A tensor of the base model.
struct BaseTensor {
  std::string key;
  Weight weight;
};

/// How a square weight is stored. Other weights show it by their shape.
enum class SquareLayout { out_in, in_out };

/// Checks that the tensors of a module are complete, and those that the settings announce.
void check_lora(const LoraModule& module, const LoraSettings& settings);

/// The merged weight of a module, as described at merge_adapter().
Weight merge_weight(const LoraModule& module, const BaseTensor& base, const LoraSettings& settings,
                    SquareLayout layout);

/// The merged bias of a module that has a lora_bias.
Weight merge_bias(const LoraModule& module, const BaseTensor& base, const LoraSettings& settings);

}  // namespace onnxport
