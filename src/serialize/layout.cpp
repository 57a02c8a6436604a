#include "serialize/layout.h"

#include "ir/weight_origin.h"
#include "serialize/model_proto.h"
#include "serialize/wire.h"

namespace onnxport::serialize {
namespace {

/// Smaller weights become text, because that is cheaper than a separate system call.
constexpr std::uint64_t smallest_streamed = 4096;

/// Whether neither the weight nor what it is computed from is large. A few scales may take a whole tensor to
/// compute.
bool is_small(const Weight& weight) {
  if (byte_size(weight) >= smallest_streamed) return false;
  std::uint64_t source = 0;
  for (const Origin& origin : origins_of(weight)) source += static_cast<std::uint64_t>(origin.source_bytes());
  return source < smallest_streamed;
}

}  // namespace

void Layout::add(std::string_view text) {
  if (text.empty()) return;
  if (texts_.empty() || texts_.back().offset + texts_.back().bytes.size() != size_)
    texts_.push_back({size_, {}});
  texts_.back().bytes += text;
  size_ += text.size();
}

void Layout::add(const Weight& weight) {
  const std::uint64_t bytes = byte_size(weight);
  if (is_small(weight)) {
    add(payload(weight));
    written_weights_.push_back(weight);
  } else {
    payloads_.push_back({size_, weight});
    size_ += bytes;
  }
  payload_bytes_ += bytes;
}

void Layout::add(const Layout& inner) {
  const std::uint64_t base = size_;
  for (const Text& text : inner.texts_) {
    size_ = base + text.offset;
    add(text.bytes);
  }
  for (const Payload& payload : inner.payloads_) payloads_.push_back({base + payload.offset, payload.weight});
  written_weights_.insert(written_weights_.end(), inner.written_weights_.begin(),
                          inner.written_weights_.end());
  size_ = base + inner.size_;
  payload_bytes_ += inner.payload_bytes_;
}

void Layout::add_field(int number, const Layout& inner) {
  add(bytes_prefix(number, inner.size()));
  add(inner);
}

}  // namespace onnxport::serialize
