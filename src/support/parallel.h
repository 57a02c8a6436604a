/// A parallel loop.
#pragma once

#include <cstddef>
#include <functional>

namespace onnxport {

/// Number of processors that this process may use; at least 1.
unsigned available_threads();

/// Calls fn(0) … fn(n - 1) on up to `threads` threads (0: available_threads()), in no particular order, but
/// starting with low indices. Returns when all calls are done. If calls throw, no more are started, and the
/// exception of the lowest index is rethrown, which is the same on every run.
void parallel_for(std::size_t n, const std::function<void(std::size_t)>& fn, unsigned threads = 0);

}  // namespace onnxport
