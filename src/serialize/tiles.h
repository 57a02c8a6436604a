/// Streaming of weights into files, piece by piece.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ir/weight_origin.h"
#include "onnxport/weight.h"
#include "serialize/layout.h"
#include "support/atomic_file.h"

namespace onnxport::serialize {

/// Bytes that one worker computes at a time (they fit into the second-level cache).
inline constexpr std::uint64_t tile_bytes = std::uint64_t{1} << 18;

/// The work of filling the payloads of several files, cut into pieces that several threads can do.
///
/// Weights of equal expressions are computed once, for all places that they go to. Different weights of the
/// same bytes (the variants of a tensor; the codes and the scales of its blocks) are computed together: a
/// piece reads some of these bytes once, if they are stored, and computes from them the elements of every
/// weight. It begins and ends where a unit of each weight does, such as a row.
class Streaming {
 public:
  /// Writes the text of a file, and takes on its payloads. The file must outlive the work.
  void add(AtomicFile& file, const Layout& layout);
  /// Cuts the work into pieces, after the last add().
  void plan();

  std::size_t size() const { return pieces_; }
  /// Does one piece. Returns the bytes of payload that it wrote. Different pieces may run concurrently.
  std::uint64_t run(std::size_t piece);

  /// The weights, in the order in which they were added.
  std::size_t weights() const { return payloads_.size(); }
  const Weight& weight(std::size_t index) const { return payloads_[index].weight; }
  /// The number of elements that the half precision of a weight made infinite. After all pieces are done.
  std::int64_t overflows(std::size_t index) const { return payloads_[index].overflows; }
  /// Bytes of all payloads, in all their places.
  std::uint64_t bytes() const { return bytes_; }

 private:
  struct Place {
    AtomicFile* file;
    std::uint64_t offset;
  };
  struct Payload {
    explicit Payload(Weight its_weight) : weight(std::move(its_weight)) {}
    Weight weight;
    std::vector<Place> places;
    std::atomic<std::int64_t> overflows = 0;
  };
  /// Elements of a weight; each `elements` of them belong to `bytes` of the group.
  struct Member {
    Payload* payload;
    std::int64_t begin, count;
    std::int64_t elements = 1, bytes = 1;
  };
  /// Members that are computed together. A member alone is its own origin, with one byte for each element.
  struct Group {
    std::vector<Member> members;
    std::shared_ptr<const File> file = nullptr;  ///< that holds the bytes of several members
    std::uint64_t offset = 0;
    std::int64_t bytes = 0;
    std::int64_t step = 0;        ///< bytes of a piece; until plan() is done, 0 for a member alone
    std::size_t first_piece = 0;  ///< of all pieces
  };

  static bool only_copies(const Group& group);
  static std::vector<Member> take_misfits(Group& group);
  void collect();
  void separate();
  std::uint64_t write(const Member& member, std::int64_t begin, std::int64_t count) const;
  std::uint64_t copy(const Member& member, std::int64_t begin, std::int64_t count,
                     const std::byte* stored) const;

  std::deque<Payload> payloads_;
  std::unordered_map<std::string, Payload*> by_fingerprint_;
  std::vector<Group> groups_;
  std::size_t pieces_ = 0;
  std::uint64_t bytes_ = 0;
};

/// Elements [begin, begin + count) of `weight`, given as `values`, that are infinite in half precision, but
/// not in the checkpoint. 0 for other dtypes and for constants, which mean what they are.
std::int64_t count_overflows(const Weight& weight, std::int64_t begin, std::int64_t count,
                             const std::byte* values);
/// The same for all elements of a small weight.
std::int64_t count_overflows(const Weight& weight);

}  // namespace onnxport::serialize
