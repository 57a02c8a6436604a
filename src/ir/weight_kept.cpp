#include "ir/weight_kept.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "ir/weight_repack.h"
#include "ir/weight_steps.h"
#include "support/quantize_bnb4.h"

namespace onnxport {
namespace {

constexpr std::int64_t kSmallestBlock = 16, kLargestBlock = 256;

bool is_block(std::int64_t size) {
  return size >= kSmallestBlock && size <= kLargestBlock && (size & (size - 1)) == 0;
}

KeptWeight refused(std::string reason) { return {.reason = std::move(reason)}; }

// ---- NF4 and FP4 ----

bool has_values(const Weight& table, Bnb4Type type) {
  const std::array<float, 16>& values = bnb4_values(type);
  std::array<float, 16> got{};
  if (table.numel() != static_cast<std::int64_t>(got.size())) return false;
  table.read(0, table.numel(), reinterpret_cast<std::byte*>(got.data()));
  return got == values;
}

KeptWeight keep_table(const PackedWeight& packed, const std::string& name) {
  if (!is_block(packed.group_size)) return refused(fmt::format("blocks of {} values", packed.group_size));
  Bnb4Codes made{.block_size = packed.group_size, .columns = packed.codes.shape()[1]};
  if (has_values(packed.table, Bnb4Type::nf4)) {
    made.type = Bnb4Type::nf4;
  } else if (has_values(packed.table, Bnb4Type::fp4)) {
    made.type = Bnb4Type::fp4;
  } else {
    return refused("a table of values that is neither NF4 nor FP4");
  }
  const std::int64_t count = packed.codes.numel(), bytes = (count + 1) / 2;
  made.parts.codes = pack_rows(packed.codes.reshape({1, count}), 4, count, CodeOrder::high_first)
                         .reshape({bytes})
                         .named(name + "_Bnb4");
  made.parts.absmax = packed.scales.cast(DType::f32).named(name + "_absmax");
  return {.codes = std::move(made)};
}

// ---- integers ----

// The group of each column of the codes.
std::vector<std::int64_t> groups_in(const std::vector<std::int64_t>& order, const PackedWeight& packed) {
  std::vector<std::int64_t> groups(static_cast<std::size_t>(packed.codes.shape()[1]));
  for (std::size_t k = 0; k < groups.size(); ++k) {
    const std::size_t column = order.empty() ? k : static_cast<std::size_t>(order[k]);
    groups[k] = packed.group_of.empty() ? static_cast<std::int64_t>(column) / packed.group_size
                                        : packed.group_of[column];
  }
  return groups;
}

// The largest block that holds columns of one group only; 0: there is none.
std::int64_t largest_block(const std::vector<std::int64_t>& groups) {
  constexpr std::int64_t kOfWholeRows = 128;
  const auto columns = static_cast<std::int64_t>(groups.size());
  std::int64_t block = kLargestBlock;
  bool one_group = true;
  for (std::int64_t k = 1; k < columns; ++k) {
    if (groups[static_cast<std::size_t>(k)] == groups[static_cast<std::size_t>(k - 1)]) continue;
    one_group = false;
    while (k % block != 0) block /= 2;
  }
  if (one_group) {
    block = kOfWholeRows;
    while (block > kSmallestBlock && columns % block != 0) block /= 2;
  }
  return block < kSmallestBlock ? 0 : block;
}

struct ZeroPoints {
  int largest = 0;
  bool all_half = true;
};

ZeroPoints scan_zero_points(const PackedWeight& packed, int half) {
  if (!packed.zero_points) return {packed.zero_point, packed.zero_point == half};
  constexpr std::int64_t kTile = 64 * 1024;
  ZeroPoints found;
  std::vector<std::uint8_t> tile;
  for (std::int64_t at = 0, count = packed.zero_points.numel(); at < count; at += kTile) {
    tile.resize(static_cast<std::size_t>(std::min(kTile, count - at)));
    packed.zero_points.read(at, static_cast<std::int64_t>(tile.size()),
                            reinterpret_cast<std::byte*>(tile.data()));
    for (const std::uint8_t value : tile) {
      found.largest = std::max(found.largest, int{value});
      found.all_half = found.all_half && value == half;
    }
  }
  return found;
}

// One value for each block, of those for each group.
Weight per_block(const Weight& of_groups, std::int64_t rows, const std::vector<std::int64_t>& groups) {
  const std::vector<std::int64_t>& shape = of_groups.shape();
  bool same = shape[0] == rows && shape[1] == static_cast<std::int64_t>(groups.size());
  for (std::size_t i = 0; same && i < groups.size(); ++i) same = groups[i] == static_cast<std::int64_t>(i);
  return same ? of_groups : take_columns(of_groups, rows, groups);
}

KeptWeight keep_integers(const PackedWeight& packed, const std::string& name) {
  const std::int64_t rows = packed.codes.shape()[0], columns = packed.codes.shape()[1];
  KeptWeight kept{.order = columns_by_group(packed)};
  const std::vector<std::int64_t> groups = groups_in(kept.order, packed);
  const std::int64_t block = largest_block(groups);
  if (block == 0) {
    return refused(packed.group_of.empty() ? fmt::format("groups of {} inputs", packed.group_size)
                                           : "groups of inputs that do not fill blocks of 16 or more");
  }
  BlockCodes made{.parameters = {.bits = packed.bits <= 2   ? 2
                                         : packed.bits <= 4 ? 4
                                                            : 8,
                                 .block_size = block},
                  .columns = columns};
  BlockParameters& p = made.parameters;
  const ZeroPoints zeros = scan_zero_points(packed, p.half());
  if (zeros.largest > p.largest_code()) return refused(fmt::format("a zero point of {}", zeros.largest));
  std::vector<std::int64_t> of_blocks;
  for (std::int64_t k = 0; k < columns; k += block) of_blocks.push_back(groups[static_cast<std::size_t>(k)]);
  const auto blocks = static_cast<std::int64_t>(of_blocks.size());
  const Weight codes = kept.order.empty() ? packed.codes : take_columns(packed.codes, rows, kept.order);
  made.parts.codes = pack_rows(codes, p.bits, blocks * block)
                         .reshape({rows, blocks, p.block_bytes()})
                         .named(fmt::format("{}_Q{}", name, p.bits));
  made.parts.scales = per_block(packed.scales.cast(DType::f32), rows, of_blocks).named(name + "_scales");
  if (!zeros.all_half) {
    p.symmetric = false;
    Weight of_groups = packed.zero_points;
    if (!of_groups) {
      const std::vector<std::byte> values(static_cast<std::size_t>(packed.scales.shape()[1]),
                                          static_cast<std::byte>(packed.zero_point));
      of_groups = Weight::constant(DType::u8, {1, packed.scales.shape()[1]}, values);
    }
    made.parts.zero_points =
        pack_rows(per_block(of_groups, rows, of_blocks), p.bits, blocks).named(name + "_zero_points");
  }
  kept.codes = std::move(made);
  if (packed.offsets) {
    kept.offsets = packed.offsets.cast(DType::f32).named(name + "_offsets");
    kept.group_size = packed.group_size;
  }
  return kept;
}

// ---- rows of several matrices ----

Weight stacked(std::span<const KeptWeight> parts, const auto& part_of) {
  std::vector<Weight> weights;
  for (const KeptWeight& part : parts) weights.push_back(part_of(part));
  const std::string name = weights.front().name();
  return Weight::concat(weights, 0).named(name);
}

bool fit(const KeptWeight& a, const KeptWeight& b) {
  if (a.order != b.order || a.group_size != b.group_size || a.codes->index() != b.codes->index())
    return false;
  if (const auto* bnb4 = std::get_if<Bnb4Codes>(&*a.codes)) {
    const auto& other = std::get<Bnb4Codes>(*b.codes);
    return bnb4->type == other.type && bnb4->block_size == other.block_size && bnb4->columns == other.columns;
  }
  const auto &one = std::get<BlockCodes>(*a.codes), &other = std::get<BlockCodes>(*b.codes);
  return one.parameters.bits == other.parameters.bits && one.columns == other.columns &&
         one.parameters.block_size == other.parameters.block_size &&
         one.parameters.symmetric == other.parameters.symmetric;
}

KeptWeight stack(std::span<const KeptWeight> parts) {
  KeptWeight whole = parts.front();
  if (whole.offsets) whole.offsets = stacked(parts, [](const KeptWeight& part) { return part.offsets; });
  const auto of_bnb4 = [](const KeptWeight& part) { return std::get<Bnb4Codes>(*part.codes).parts; };
  const auto of_blocks = [](const KeptWeight& part) { return std::get<BlockCodes>(*part.codes).parts; };
  if (auto* bnb4 = std::get_if<Bnb4Codes>(&*whole.codes)) {
    bnb4->parts.codes = stacked(parts, [&](const KeptWeight& part) { return of_bnb4(part).codes; });
    bnb4->parts.absmax = stacked(parts, [&](const KeptWeight& part) { return of_bnb4(part).absmax; });
    return whole;
  }
  QuantizedBlocks& made = std::get<BlockCodes>(*whole.codes).parts;
  made.codes = stacked(parts, [&](const KeptWeight& part) { return of_blocks(part).codes; });
  made.scales = stacked(parts, [&](const KeptWeight& part) { return of_blocks(part).scales; });
  if (made.zero_points)
    made.zero_points = stacked(parts, [&](const KeptWeight& part) { return of_blocks(part).zero_points; });
  return whole;
}

}  // namespace

KeptWeight keep_codes(std::span<const std::shared_ptr<const PackedWeight>> parts, const std::string& name) {
  std::vector<KeptWeight> kept;
  for (const auto& part : parts) {
    kept.push_back(keep_codes(*part, name));
    if (!kept.back().codes) return kept.back();
    if (parts.size() > 1 && part->table && part->codes.numel() % part->group_size != 0)
      return refused("rows of matrices that share blocks");
    if (!fit(kept.front(), kept.back())) return refused("rows of matrices with different blocks");
  }
  return kept.size() == 1 ? kept.front() : stack(kept);
}

std::vector<std::shared_ptr<const PackedWeight>> packed_parts_of(const Weight& weight) {
  const auto seen_as_matrix = [](const Weight& one) {
    const std::int64_t columns = one.shape().empty() ? 0 : one.shape().back();
    return columns == 0 ? one : one.reshape({one.numel() / columns, columns});
  };
  if (const auto whole = packed_of(seen_as_matrix(weight))) return {whole};
  Weight stored = weight;
  while (const Weight before = cast_of(stored)) stored = before;
  std::vector<std::shared_ptr<const PackedWeight>> found;
  for (const Weight& part : parts_of(stored)) {
    const auto one = packed_of(seen_as_matrix(part));
    if (!one || one->codes.shape()[1] != weight.shape().back()) return {};
    found.push_back(one);
  }
  return found;
}

KeptWeight keep_codes(const PackedWeight& packed, const std::string& name) {
  if (packed.codes.shape().size() != 2 || packed.codes.numel() == 0) return refused("no matrix");
  return packed.table ? keep_table(packed, name) : keep_integers(packed, name);
}

}  // namespace onnxport
