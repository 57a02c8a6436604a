#include "hollow_file.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "support/dtype_names.h"

namespace onnxport::test {

void write_hollow_safetensors(const std::filesystem::path& file, const std::vector<HollowTensor>& tensors) {
  nlohmann::ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  std::uint64_t offset = 0;
  std::vector<std::uint64_t> begins;  // of float tensors
  for (const HollowTensor& tensor : tensors) {
    std::uint64_t bytes = size_of(tensor.dtype);
    for (const std::int64_t extent : tensor.shape) bytes *= static_cast<std::uint64_t>(extent);
    const std::string dtype =
        tensor.stored_as.empty() ? std::string(safetensors_name(tensor.dtype)) : tensor.stored_as;
    header[tensor.name] = {
        {"dtype", dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + bytes}}};
    if (bytes >= sizeof(std::uint64_t) && is_float(tensor.dtype)) begins.push_back(offset);
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // data that is aligned can stay in place
  const std::uint64_t length = text.size();
  {
    std::ofstream out(file, std::ios::binary);
    out.write(reinterpret_cast<const char*>(&length), sizeof length) << text;
  }
  std::filesystem::resize_file(file, sizeof length + length + offset);
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  for (std::size_t i = 0; i < begins.size(); ++i) {
    std::uint64_t stamp = 0;  // four small numbers that tell i
    for (int shift = 0; shift < 16; shift += 4) stamp |= ((i >> shift & 15) + 1) << (4 * shift);
    out.seekp(static_cast<std::streamoff>(sizeof length + length + begins[i]));
    out.write(reinterpret_cast<const char*>(&stamp), sizeof stamp);
  }
}

}  // namespace onnxport::test
