/// Whole generation with an exported decoder in ONNX Runtime, as clients do it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/interface.h"
#include "onnxport/tasks_manager.h"
#include "runtime/session.h"

namespace onnxport::test {

/// One row for each sequence, all of one length.
using Rows = std::vector<std::vector<std::int64_t>>;

Tensor integers(const Rows& rows);
/// The last `count` columns.
Rows last_columns(const Rows& rows, std::int64_t count);

/// Sequences, and which of their tokens are no padding (1). The padding is on the left.
struct Sequences {
  Rows ids, mask;
};

/// A decoder exported for a task, in ONNX Runtime.
class ExportedDecoder {
 public:
  ExportedDecoder(const std::filesystem::path& checkpoint, const std::string& task,
                  const std::filesystem::path& file);

  std::int64_t vocab_size() const { return vocab_size_; }
  NamedTensors empty_cache(std::int64_t rows) const;
  /// Logits of the last position, [rows, vocab_size]. `cache` holds the past of `past` positions and takes
  /// the new one.
  std::vector<double> last_logits(const Sequences& sequences, std::int64_t past, NamedTensors& cache) const;

 private:
  Model model_;
  std::shared_ptr<const OnnxConfig> config_;
  std::int64_t vocab_size_;
  std::unique_ptr<runtime::Session> session_;
};

/// A decoder with its cache, and how far that reaches.
class Decoding {
 public:
  /// `changes_at`: beyond this length the rotation changes, and the cache is made anew, as the original's own
  /// loop does; 0: never.
  Decoding(const ExportedDecoder& decoder, std::int64_t rows, std::int64_t changes_at);

  /// Logits of the last position, [rows, vocab_size].
  std::vector<double> next_logits(const Sequences& sequences);
  /// Row i of the cache becomes what row `rows[i]` was.
  void reorder(const std::vector<std::int64_t>& rows);

 private:
  const ExportedDecoder& decoder_;
  std::int64_t changes_at_, past_ = 0;
  NamedTensors cache_;
};

/// The most likely token of each row.
std::vector<std::int64_t> most_likely(const std::vector<double>& logits, std::int64_t vocab_size);

/// The `count` tokens that beam search finds for each sequence, without a token that ends one. Sum of the
/// logarithms of probabilities, as `num_beams` of transformers' generate.
Rows beam_search(const ExportedDecoder& decoder, const Sequences& prompts, std::int64_t beams,
                 std::int64_t count, std::int64_t changes_at);

/// What transformers generates for a fixture, by tools/make_generation.py.
struct Generated {
  /// New tokens of each row; absent where the original fails, or where its tokens depend on rounding.
  std::optional<Rows> greedy, beam;
};

/// Of tests/generation, or nothing where no line names the fixture.
std::optional<Generated> generated_by_transformers(const std::string& fixture);

}  // namespace onnxport::test
