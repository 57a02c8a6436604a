/// Files whose text is in memory and whose payloads are not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/weight.h"

namespace onnxport::serialize {

/// The future content of a file, or of a message inside it: text, with gaps for weights that are streamed.
class Layout {
 public:
  struct Text {
    std::uint64_t offset;
    std::string bytes;
  };
  struct Payload {
    std::uint64_t offset;
    Weight weight;
  };

  std::uint64_t size() const { return size_; }
  /// Bytes of weights.
  std::uint64_t payload_bytes() const { return payload_bytes_; }
  const std::vector<Text>& texts() const { return texts_; }
  const std::vector<Payload>& payloads() const { return payloads_; }
  /// Small weights, whose bytes are part of the text.
  const std::vector<Weight>& written_weights() const { return written_weights_; }

  void add(std::string_view text);
  void add(const Weight& weight);
  void add(const Layout& inner);
  /// A sub-message, preceded by its tag and length.
  void add_field(int number, const Layout& inner);
  /// Zeros up to a multiple of `alignment`.
  void align(std::uint64_t alignment) { size_ = aligned(alignment); }
  /// The size that align() would give it.
  std::uint64_t aligned(std::uint64_t alignment) const {
    return (size_ + alignment - 1) / alignment * alignment;
  }

 private:
  std::uint64_t size_ = 0;
  std::uint64_t payload_bytes_ = 0;
  std::vector<Text> texts_;
  std::vector<Payload> payloads_;
  std::vector<Weight> written_weights_;
};

}  // namespace onnxport::serialize
