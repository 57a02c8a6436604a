/// The exports of a plugin: a shared library that registers more architectures in the program that loads it.
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

/// Increase it with every change of a public header that requires plugins to be rebuilt, unless the version
/// of the project changes at the same time. Examples are a new virtual function, a different order of virtual
/// functions, or a function with a different signature or meaning. The sizes of public types and the list of
/// ops are detected automatically.
inline constexpr std::uint32_t kPluginAbi = 1;

/// Zero-terminated text.
using PluginAbiText = std::array<char, 80>;

namespace detail {

/// A hash of the sizes of the types that program and plugin share, and of the names and order of the ops. It
/// also differs between the standard libraries of different compilers.
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

/// "0.1.0 (plugin ABI 1, layout 1a2b3c4d)": the text that must be equal in program and plugin. It cannot be a
/// symbol, because the dynamic linker would give the plugin the program's symbol.
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

/// Makes a shared library a plugin. Write `ONNXPORT_PLUGIN(register_mine)` once, at the top level of a source
/// file. `register_mine(onnxport::TasksManager&)` registers the architectures. The macro defines the two
/// functions that `onnxport --plugin` looks for.
#define ONNXPORT_PLUGIN(register_models)                                            \
  extern "C" ONNXPORT_API const char* onnxport_plugin_abi() {                       \
    static constexpr ::onnxport::PluginAbiText text = ::onnxport::plugin_abi();     \
    return text.data();                                                             \
  }                                                                                 \
  extern "C" ONNXPORT_API void onnxport_register(::onnxport::TasksManager& tasks) { \
    (register_models)(tasks);                                                       \
  }                                                                                 \
  static_assert(true, "a semicolon may follow")
