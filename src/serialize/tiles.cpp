#include "serialize/tiles.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "ir/weight_steps.h"
#include "onnxport/dtype.h"
#include "serialize/model_proto.h"
#include "support/convert.h"
#include "support/file.h"

namespace onnxport::serialize {
namespace {

/// Bytes that one worker copies at a time.
constexpr std::uint64_t copy_bytes = std::uint64_t{16} << 20;
/// Weights whose rows are longer, in bytes, are not computed together with others.
constexpr std::int64_t largest_unit = std::int64_t{4} << 20;

/// The bits of infinity in a dtype of half precision.
std::uint16_t infinity_bits(DType dtype) { return dtype == DType::f16 ? 0x7C00 : 0x7F80; }

}  // namespace

std::int64_t count_overflows(const Weight& weight, std::int64_t begin, std::int64_t count,
                             const std::byte* values) {
  if ((weight.dtype() != DType::f16 && weight.dtype() != DType::bf16) || weight.is_constant()) return 0;
  const std::uint16_t infinity = infinity_bits(weight.dtype());
  const auto is_infinite = [&](std::int64_t i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, values + i * sizeof(bits), sizeof(bits));
    return (bits & 0x7FFF) == infinity;
  };
  std::int64_t infinite = 0;
  for (std::int64_t i = 0; i < count; ++i) infinite += is_infinite(i) ? 1 : 0;
  const Weight before = infinite == 0 ? Weight() : cast_of(weight);
  if (!before || !is_float(before.dtype())) return infinite;

  std::vector<std::byte> bytes(static_cast<std::size_t>(count) * size_of(before.dtype()));
  before.read(begin, count, bytes.data());
  std::vector<double> exact(static_cast<std::size_t>(count));
  convert(before.dtype(), bytes.data(), DType::f64, reinterpret_cast<std::byte*>(exact.data()), exact.size());
  for (std::int64_t i = 0; i < count; ++i) {
    if (is_infinite(i) && std::isinf(exact[static_cast<std::size_t>(i)])) --infinite;
  }
  return infinite;
}

std::int64_t count_overflows(const Weight& weight) {
  if (size_of(weight.dtype()) != 2 || weight.view() != nullptr) return 0;
  std::vector<std::byte> values(static_cast<std::size_t>(weight.numel()) * size_of(weight.dtype()));
  weight.read(0, weight.numel(), values.data());
  return count_overflows(weight, 0, weight.numel(), values.data());
}

void Streaming::add(AtomicFile& file, const Layout& layout) {
  file.reserve(layout.size());
  for (const Layout::Text& text : layout.texts())
    file.write_at(text.offset, std::as_bytes(std::span(text.bytes)));
  for (const auto& [offset, weight] : layout.payloads()) {
    Payload*& payload = by_fingerprint_[weight.fingerprint()];
    if (payload == nullptr) payload = &payloads_.emplace_back(weight);
    payload->places.push_back({&file, offset});
    bytes_ += byte_size(weight);
  }
}

void Streaming::plan() {
  collect();
  separate();
  for (Group& group : groups_) {
    if (group.step == 0) {
      const Weight& weight = group.members.front().payload->weight;
      const std::uint64_t bytes = weight.view() != nullptr ? copy_bytes : tile_bytes;
      group.step = static_cast<std::int64_t>(bytes / size_of(weight.dtype()));
    }
    group.first_piece = pieces_;
    pieces_ += static_cast<std::size_t>((group.bytes + group.step - 1) / group.step);
  }
}

/// Finds the weights that are made of the same bytes.
void Streaming::collect() {
  std::map<std::tuple<std::string, std::uint64_t, std::int64_t>, std::size_t> known;
  for (Payload& payload : payloads_) {
    const std::vector<Origin> origins = origins_of(payload.weight);
    for (const Origin& origin : origins) {
      const Member member{&payload, origin.begin, origin.count, origin.elements, origin.bytes};
      const std::int64_t bytes = origin.source_bytes();
      // Many short runs are better read as one.
      const bool is_short = origins.size() > 1 && bytes < static_cast<std::int64_t>(tile_bytes);
      std::size_t group = groups_.size();
      if (origin.known() && !is_short) {
        group = known.emplace(std::tuple(origin.identity(), origin.offset, bytes), group).first->second;
      }
      if (group == groups_.size()) groups_.push_back({{}, origin.file, origin.offset, bytes});
      groups_[group].members.push_back(member);
    }
  }
}

/// Makes groups of one member where nothing is shared, and joins those that are neighbours in a weight.
void Streaming::separate() {
  std::vector<Group> groups;
  const auto alone = [&](const Member& member) {
    if (!groups.empty() && groups.back().step == 0) {
      Group& last = groups.back();
      Member& before = last.members.front();
      if (before.payload == member.payload && before.begin + before.count == member.begin) {
        last.bytes = before.count += member.count;
        return;
      }
    }
    groups.push_back({.members = {{member.payload, member.begin, member.count}}, .bytes = member.count});
  };
  for (Group& group : groups_) {
    const auto is_shared = [&] { return group.members.size() > 1 && !only_copies(group); };
    const std::vector<Member> misfits = is_shared() ? take_misfits(group) : std::vector<Member>();
    if (is_shared()) {
      groups.push_back(std::move(group));
    } else {
      for (const Member& member : group.members) alone(member);
    }
    for (const Member& member : misfits) alone(member);
  }
  groups_ = std::move(groups);
}

bool Streaming::only_copies(const Group& group) {
  return std::ranges::all_of(group.members,
                             [](const Member& member) { return member.payload->weight.view() != nullptr; });
}

/// Chooses the bytes of a piece: a multiple of the unit of each member. Takes out the members for which a
/// piece would be too much to be in memory. The largest members come first: a step that computes codes may
/// keep what it needs for their scales.
std::vector<Streaming::Member> Streaming::take_misfits(Group& group) {
  std::vector<Member> fitting, misfits;
  std::int64_t unit = 1;
  for (const Member& member : group.members) {
    // Neither factor is above the limit.
    const std::int64_t common = member.bytes > largest_unit ? member.bytes : std::lcm(unit, member.bytes);
    if (common <= largest_unit) unit = common;
    (common <= largest_unit ? fitting : misfits).push_back(member);
  }
  const auto bytes_of_unit = [&](const Member& member) {
    return unit / member.bytes * member.elements *
           static_cast<std::int64_t>(size_of(member.payload->weight.dtype()));
  };
  std::int64_t units = std::max<std::int64_t>(1, static_cast<std::int64_t>(tile_bytes) / unit);
  group.members.clear();
  for (const Member& member : fitting) {
    const std::int64_t bytes = bytes_of_unit(member);
    (bytes <= largest_unit ? group.members : misfits).push_back(member);
    if (bytes > largest_unit) continue;
    units = std::clamp<std::int64_t>(2 * static_cast<std::int64_t>(tile_bytes) / bytes, 1, units);
  }
  std::ranges::stable_sort(group.members, std::ranges::greater(), bytes_of_unit);
  group.step = units * unit;
  return misfits;
}

std::uint64_t Streaming::run(std::size_t piece) {
  const auto after = std::ranges::upper_bound(groups_, piece, {}, &Group::first_piece);
  const Group& group = *std::prev(after);
  const std::int64_t begin = static_cast<std::int64_t>(piece - group.first_piece) * group.step;
  const std::int64_t end = std::min(begin + group.step, group.bytes);
  thread_local std::vector<std::byte> buffer;
  std::optional<StoredWindow> window;
  if (group.file != nullptr) {
    if (buffer.size() < static_cast<std::size_t>(end - begin))
      buffer.resize(static_cast<std::size_t>(end - begin));
    window.emplace(*group.file, group.offset + static_cast<std::uint64_t>(begin),
                   std::span(buffer).first(static_cast<std::size_t>(end - begin)));
  }
  std::uint64_t written = 0;
  for (const Member& member : group.members) {
    const std::int64_t first = member.begin + begin / member.bytes * member.elements;
    const std::int64_t last = member.begin + end / member.bytes * member.elements;
    written += member.payload->weight.view() != nullptr
                   ? copy(member, first, last - first, window ? buffer.data() : nullptr)
                   : write(member, first, last - first);
  }
  return written;
}

/// Copies the stored bytes of a weight, inside the kernel where that is faster. `stored`: they are here, too.
std::uint64_t Streaming::copy(const Member& member, std::int64_t begin, std::int64_t count,
                              const std::byte* stored) const {
  const TensorView& view = *member.payload->weight.view();
  const std::uint64_t element = size_of(view.dtype);
  const std::uint64_t bytes = static_cast<std::uint64_t>(count) * element;
  const std::uint64_t from = static_cast<std::uint64_t>(begin) * element;
  for (const Place& place : member.payload->places) {
    if (stored == nullptr || AtomicFile::same_blocks(view.offset + from, place.offset + from)) {
      place.file->copy_from(*view.file, view.offset + from, place.offset + from, bytes);
    } else {
      place.file->write_at(place.offset + from, std::span(stored, bytes));
    }
  }
  return bytes * member.payload->places.size();
}

std::uint64_t Streaming::write(const Member& member, std::int64_t begin, std::int64_t count) const {
  Payload& payload = *member.payload;
  const std::uint64_t element = size_of(payload.weight.dtype());
  const auto bytes = static_cast<std::size_t>(count) * element;
  thread_local std::vector<std::byte> buffer;
  if (buffer.size() < bytes) buffer.resize(bytes);
  payload.weight.read(begin, count, buffer.data());
  for (const Place& place : payload.places)
    place.file->write_at(place.offset + static_cast<std::uint64_t>(begin) * element,
                         std::span(buffer).first(bytes));
  payload.overflows += count_overflows(payload.weight, begin, count, buffer.data());
  return bytes * payload.places.size();
}

}  // namespace onnxport::serialize
