/// Where long work finds out that it is to stop.
#pragma once

#include "onnxport/cancellation.h"

namespace onnxport {

/// Throws Cancelled if this thread listens to a cancellation that was requested.
inline void check_cancelled() {
  const Cancellation* const cancellation = Cancellation::of_thread();
  if (cancellation != nullptr && cancellation->cancelled()) throw Cancelled();
}

}  // namespace onnxport
