#include "checkpoint/weight_files.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "support/fail.h"
#include "support/text.h"

namespace onnxport {
namespace {

constexpr std::array<std::string_view, 4> kStems = {"model.safetensors",
                                                    "diffusion_pytorch_model.safetensors",
                                                    "pytorch_model.bin", "diffusion_pytorch_model.bin"};

/// As transformers and diffusers do: "model.safetensors" -> "model.fp16.safetensors".
std::string in_variant(const std::string& name, const std::string& variant) {
  if (variant.empty()) return name;
  const std::size_t dot = name.rfind('.');
  return fmt::format("{}.{}{}", name.substr(0, dot), variant, name.substr(dot));
}

/// The variant in a name such as "model.fp16.safetensors" or "pytorch_model.bin.index.fp16.json"; empty if
/// the name is no such name.
std::string variant_of(std::string_view file) {
  for (const std::string_view stem : kStems) {
    const std::string single = in_variant(std::string(stem), "*");
    for (const std::string& pattern :
         {single, single + ".index.json", in_variant(fmt::format("{}.index.json", stem), "*")}) {
      if (!text::glob_match(pattern, file)) continue;
      const std::size_t star = pattern.find('*');
      const std::size_t length = file.size() - (pattern.size() - 1);
      std::string variant(file.substr(star, length));
      if (!variant.empty() && variant.find('.') == variant.npos) return variant;
    }
  }
  return "";
}

/// Files that hold weights in a form that is not read.
struct Other {
  std::string_view pattern, what, next_step;
};

constexpr std::string_view kAdapterStep =
    "merge it into its base model with peft (merge_and_unload), and save that with save_pretrained";
constexpr std::string_view kConvertStep =
    "convert it with the script of its type in transformers, and save the model with save_pretrained";
constexpr std::string_view kOnnxStep =
    "it is exported already; onnxport reads the checkpoint that it was made of";

// The first pattern that matches a file counts.
constexpr std::array kOthers = {
    Other{"tf_model.h5*", "weights of TensorFlow",
          "load it with transformers 4 (from_pretrained(folder, from_tf=True)), and save it with "
          "save_pretrained"},
    Other{"flax_model.msgpack*", "weights of Flax",
          "load it with transformers 4 (from_pretrained(folder, from_flax=True)), and save it with "
          "save_pretrained"},
    Other{"model.ckpt*", "weights of TensorFlow 1", kConvertStep},
    Other{"adapter_model.*", "an adapter of peft", kAdapterStep},
    Other{"consolidated*", "weights under the names of the model's authors", kConvertStep},
    Other{"*-of-*.safetensors", "a shard",
          "download the index of the shards too: model.safetensors.index.json"},
    Other{"*-of-*.bin", "a shard", "download the index of the shards too: pytorch_model.bin.index.json"},
    Other{"*.onnx", "an ONNX file", kOnnxStep},
    Other{"openvino_model.*", "a model of OpenVINO", kOnnxStep},
    Other{"rust_model.ot", "weights of rust-bert", "take the model.safetensors of the same model"},
    Other{"*.safetensors", "safetensors under another name",
          "if it holds the tensors of this model, rename it to model.safetensors"},
    Other{"pytorch_model*", "weights of PyTorch under another name", "rename it to pytorch_model.bin"},
    Other{"*.pth", "a file of PyTorch", kConvertStep},
    Other{"*.pt", "a file of PyTorch", kConvertStep},
    Other{"*.ckpt", "a training checkpoint", kConvertStep},
};

}  // namespace

std::vector<std::string> weight_file_names(const std::string& variant) {
  const bool valid = std::all_of(variant.begin(), variant.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  if (!valid) {
    fail(ErrorCode::invalid_argument,
         "--weights-variant '{}': expected letters and digits, such as fp16 in model.fp16.safetensors",
         variant);
  }
  std::vector<std::string> names;
  for (const std::string_view stem : kStems) {
    const std::string single = in_variant(std::string(stem), variant);
    names.push_back(single);
    const std::string index = in_variant(fmt::format("{}.index.json", stem), variant);
    names.push_back(index);
    if (!variant.empty()) names.push_back(single + ".index.json");
  }
  return names;
}

std::string instead_of_weights(std::span<const std::string> files) {
  std::vector<std::string> found;
  std::vector<std::string> said;  // kinds; one of each is enough
  const auto say = [&](std::string_view kind, std::string text) {
    if (std::find(said.begin(), said.end(), kind) != said.end()) return;
    said.emplace_back(kind);
    found.push_back(std::move(text));
  };
  const std::vector<std::string> plain = weight_file_names();
  for (const std::string& file : files) {
    const std::string_view name = std::string_view(file).substr(file.rfind('/') + 1);
    const bool below = name.size() != file.size();  // of such files, only models in other formats matter
    if (!below && std::find(plain.begin(), plain.end(), file) != plain.end()) {
      say("plain", fmt::format("{} (no variant): leave --weights-variant out", file));
      continue;
    }
    if (const std::string variant = variant_of(name); !below && !variant.empty()) {
      say(variant,
          fmt::format("{} (the variant {}): read it with --weights-variant {}", file, variant, variant));
      continue;
    }
    for (const Other& other : kOthers) {
      if ((below && other.next_step != kOnnxStep) || !text::glob_match(other.pattern, name)) continue;
      say(other.what, fmt::format("{} ({}): {}", file, other.what, other.next_step));
      break;
    }
  }
  return found.empty() ? "" : fmt::format("there is {}", text::join(found, "; "));
}

}  // namespace onnxport
