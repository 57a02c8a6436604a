/// Hash of bytes, to recognize equal weights.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace onnxport {

/// 128 bits as 32 hexadecimal digits, from two independent 64-bit lanes. Protects against accidents, not
/// against attackers. The same on all machines of the same byte order.
std::string hash128(std::span<const std::byte> bytes);

}  // namespace onnxport
