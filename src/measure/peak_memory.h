/// Memory of this process.
#pragma once

#include <cstdint>

namespace onnxport::measure {

/// Gives memory that is not used any more back to the system, and starts a new measurement where the kernel
/// permits it; elsewhere, the peak is that since the start of the process.
void reset_peak_memory();

/// The largest resident memory since then, in bytes; 0 if the kernel does not tell.
std::uint64_t peak_memory();

}  // namespace onnxport::measure
