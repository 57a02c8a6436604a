/// What a plugin exports: a shared library that registers further architectures in the program that loads it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "onnxport/export_macro.h"
#include "onnxport/op.h"
#include "onnxport/tasks_manager.h"
#include "onnxport/tensor.h"
#include "onnxport/version.h"

namespace onnxport {

/// Raise it with every change of a public header after which plugins must be built again, unless the version
/// of the project changes at the same time: another virtual function or another order of them, another
/// signature or meaning of a function. Sizes of public types and the list of ops are seen by themselves.
inline constexpr std::uint32_t kPluginAbi = 1;

/// Text that ends with a zero.
using PluginAbiText = std::array<char, 80>;

namespace detail {

/// A number for the sizes of the types that program and plugin share, and for the names of the ops in their
/// order. Other compilers' standard libraries differ here, too.
consteval std::uint32_t plugin_layout() {
  std::uint32_t hash = 2166136261;  // FNV-1a
  const auto mix = [&hash](std::uint32_t byte) { hash = (hash ^ byte) * 16777619; };
  for (const std::size_t size : {sizeof(std::string),
                                 sizeof(Dim),
                                 sizeof(Shape),
                                 sizeof(Weight),
                                 sizeof(Value),
                                 sizeof(Attrs),
                                 sizeof(Node),
                                 sizeof(Graph),
                                 sizeof(Tensor),
                                 sizeof(Inputs),
                                 sizeof(Scope),
                                 sizeof(PretrainedConfig),
                                 sizeof(NormalizedConfig),
                                 sizeof(DummyShapes),
                                 sizeof(OnnxConfigOptions),
                                 sizeof(Interface),
                                 sizeof(Component),
                                 sizeof(StateSpec),
                                 sizeof(op::AttentionOperands),
                                 sizeof(OnnxConfig),
                                 sizeof(EncoderDecoderBaseOnnxConfig),
                                 sizeof(Model),
                                 sizeof(Roles),
                                 sizeof(GgufLayout),
                                 sizeof(ModelDefinition)}) {
    for (std::size_t left = size; left != 0; left >>= 8) mix(left & 0xff);
    mix(0x100);
  }
#define ONNXPORT_LEAF(name) \
  for (const char letter : std::string_view(#name ",")) mix(static_cast<unsigned char>(letter));
#define ONNXPORT_PRIMITIVE(name) ONNXPORT_LEAF(name)
#include "onnxport/ops.def"
  return hash;
}

}  // namespace detail

/// "0.1.0 (plugin ABI 1, layout 1a2b3c4d)": what program and plugin must have in common. No symbol stands for
/// it, since the dynamic linker would give the plugin that of the program.
consteval PluginAbiText plugin_abi() {
  PluginAbiText text = {};
  std::size_t at = 0;
  const auto write = [&](std::string_view part) {
    for (const char letter : part) text.at(at++) = letter;
  };
  const auto number = [&](std::uint32_t value, std::uint32_t base) {
    std::uint32_t unit = 1;
    while (value / unit >= base) unit *= base;
    for (; unit != 0; unit /= base) text.at(at++) = "0123456789abcdef"[value / unit % base];
  };
  write(kVersion);
  write(" (plugin ABI ");
  number(kPluginAbi, 10);
  write(", layout ");
  number(detail::plugin_layout(), 16);
  write(")");
  return text;
}

}  // namespace onnxport

/// Makes a shared library a plugin: `ONNXPORT_PLUGIN(register_mine)`, once, at the top level of a source
/// file. `register_mine(onnxport::TasksManager&)` registers the architectures. Defines the two functions that
/// `onnxport --plugin` looks for.
#define ONNXPORT_PLUGIN(register_models)                                            \
  extern "C" ONNXPORT_API const char* onnxport_plugin_abi() {                       \
    static constexpr ::onnxport::PluginAbiText text = ::onnxport::plugin_abi();     \
    return text.data();                                                             \
  }                                                                                 \
  extern "C" ONNXPORT_API void onnxport_register(::onnxport::TasksManager& tasks) { \
    (register_models)(tasks);                                                       \
  }                                                                                 \
  static_assert(true, "a semicolon may follow")
