#include "onnxport/cancellation.h"

namespace onnxport {
namespace {

thread_local const Cancellation* listened_to = nullptr;

}  // namespace

Cancellation::Listening::Listening(const Cancellation* cancellation) : before_(listened_to) {
  listened_to = cancellation;
}

Cancellation::Listening::~Listening() { listened_to = before_; }

const Cancellation* Cancellation::of_thread() noexcept { return listened_to; }

}  // namespace onnxport
