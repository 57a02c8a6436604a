/// Hash of bytes, for telling equal weights.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace onnxport {

/// 128 bits as 32 hexadecimal digits. Two independent 64-bit lanes: good against accidents, not against
/// attackers. The same on every machine of the same byte order.
std::string hash128(std::span<const std::byte> bytes);

}  // namespace onnxport
