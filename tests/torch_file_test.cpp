/// pytorch_model.bin: files that the tests write byte by byte, good and hostile.
#include "checkpoint/torch_file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/pickle.h"
#include "checkpoint/zip.h"
#include "errors.h"
#include "onnxport/error.h"
#include "onnxport/scope.h"
#include "support/temp_folder.h"
#include "torch_bytes.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using namespace torch_bytes;

// ---------------------------------------------------------------------------------------------------------------------
// Pickles

std::string parameter(const std::string& of) {
  return global("torch._utils", "_rebuild_parameter") + tuple({of, "\x88", kOrderedDict}) + "R";
}
std::string pickle_error(const std::string& bytes) {
  return error_of([&] { pickle::parse_state_dict(bytes, "m.bin"); });
}
std::string value_error(const std::string& value) { return pickle_error(pickled({{"k", value}})); }

std::string not_readable(std::string_view reason, std::size_t at) {
  return fmt::format("m.bin is not a state dict that onnxport can read: {} (byte {} of its data.pkl)", reason,
                     at);
}

TEST(PickleTest, TensorsOfAStateDict) {
  const std::string shared = storage("0", 12);
  const std::string bytes =  // tensors[i].storage points into it
      pickled({{"a", tensor(shared, 0, {3, 4}, {4, 1})},
               {"epoch", integer(-3)},
               {"loss", "G" + std::string(8, '\0')},
               {"none", "N"},
               {"list", "](" + integer(1) + text("x") + "e"},
               {"huge", "\x8a\x09" + std::string(9, '\x7f')},
               {"b", parameter(tensor(shared, 2, {5, 2}, {1, 5}))},
               {"c", tensor(storage("1", 1, "LongStorage"), 0, {}, {})},
               {"d", global("torch._utils", "_rebuild_tensor_v3") +
                         tuple({storage("2", 8, "UntypedStorage", "torch.storage"), integer(1), integers({3}),
                                integers({1}), "\x89", kOrderedDict, global("torch", "uint16")}) +
                         "R"},
               {"e", tensor(storage("3", 0, "BFloat16Storage"), 0, {0, 7}, {7, 1})}});
  const auto tensors = pickle::parse_state_dict(bytes, "m.bin");
  ASSERT_EQ(tensors.size(), 5U);
  EXPECT_EQ(tensors[0].key, "a");
  EXPECT_EQ(tensors[0].shape, (Dims{3, 4}));
  EXPECT_EQ(tensors[0].storage_bytes, 48U);
  EXPECT_EQ(tensors[1].key, "b");
  EXPECT_EQ(tensors[1].strides, (Dims{1, 5}));
  EXPECT_EQ(tensors[1].offset, 8U);
  EXPECT_EQ(tensors[2].dtype, DType::i64);
  EXPECT_EQ(tensors[3].dtype, DType::u16);
  EXPECT_EQ(tensors[3].offset, 2U);
  EXPECT_EQ(tensors[3].storage_bytes, 8U);
  EXPECT_EQ(tensors[3].storage, "2");
  EXPECT_EQ(tensors[4].dtype, DType::bf16);
}

TEST(PickleTest, RunsNothing) {
  const std::string head = "\x80\x02";
  EXPECT_EQ(
      pickle_error(head + global("os", "system") + tuple({text("rm -rf /")}) + "R."),
      not_readable("the pickle asks for 'os.system', but onnxport reads only tensors and runs no code", 2));
  EXPECT_EQ(value_error(global("builtins", "eval"))
                .find("m.bin is not a state dict that onnxport can read: the "
                      "pickle asks for 'builtins.eval', "),
            0U);
  // INST, OBJ, NEWOBJ, STACK_GLOBAL, EXT1, PERSID, FRAME, MEMOIZE, DUP, POP, text forms
  for (const char opcode : std::string("io\x81\x93\x82P\x95\x94"
                                       "20SVIFLgpd")) {
    EXPECT_EQ(pickle_error(head + "N" + opcode + "."),
              not_readable(
                  fmt::format("the pickle has opcode 0x{:02x}, which torch.save does not write for tensors",
                              static_cast<unsigned char>(opcode)),
                  3));
  }
  EXPECT_EQ(pickle_error("\x80\x04N."), not_readable("it uses pickle protocol 4, expected 2", 0));
  EXPECT_EQ(pickle_error(head + "N)R."), not_readable("the pickle calls an object", 4));
  EXPECT_EQ(pickle_error(head + global("torch", "FloatStorage") + ")R."),
            not_readable("the pickle calls 'torch.FloatStorage', which is not a function", 23));
  EXPECT_EQ(pickle_error(head + global("collections", "OrderedDict") + "]R."),
            not_readable("the pickle calls 'collections.OrderedDict' with a list, expected a tuple", 28));
  EXPECT_EQ(pickle_error(head + "]}b."), not_readable("the pickle sets attributes of a list", 4));
  EXPECT_NE(value_error(text("x") + "Q").find("that is not the storage of a tensor"), std::string::npos);
}

TEST(PickleTest, BrokenPrograms) {
  const std::string head = "\x80\x02";
  EXPECT_EQ(pickle_error(""), not_readable("the pickle ends after 0 bytes, expected 1 more", 0));
  EXPECT_EQ(pickle_error(head), not_readable("the pickle ends after 2 bytes, expected 1 more", 2));
  EXPECT_EQ(pickle_error(head + "X" + le(0xffffffff, 4) + "x"),
            not_readable("the pickle ends after 8 bytes, expected 4294967294 more", 2));
  EXPECT_EQ(pickle_error(head + "ctorch"), not_readable("the pickle ends inside a name", 2));
  EXPECT_EQ(pickle_error(head + "."),
            not_readable("the pickle takes more objects from its stack than it has", 2));
  EXPECT_EQ(pickle_error(head + "N(."),
            not_readable("the pickle takes more objects from its stack than it has", 4));
  EXPECT_EQ(pickle_error(head + "t."), not_readable("the pickle closes a group that was not opened", 2));
  EXPECT_EQ(pickle_error(head + "NN."), not_readable("the pickle ends with 1 objects left over", 4));
  EXPECT_EQ(pickle_error(head + "}.x"), not_readable("1 bytes follow the end of the pickle", 3));
  EXPECT_EQ(pickle_error(head + "}(Nu."), not_readable("the pickle adds a key without a value to a dict", 5));
  EXPECT_EQ(pickle_error(head + ")Na."), not_readable("the pickle adds items to a tuple", 4));
  EXPECT_EQ(pickle_error(head + "h\x07."),
            not_readable("the pickle recalls object number 7, which it did not memoize", 2));
  EXPECT_EQ(pickle_error(head + "Nr" + le(0xffffffff, 4) + "."),
            not_readable("the pickle memoizes an object as number 4294967295, expected at most 2000000", 3));
  EXPECT_EQ(pickle_error(head + std::string(pickle::kMaxObjects + 1, 'N')),
            not_readable("the pickle holds more than 2000000 objects", 2 + pickle::kMaxObjects));
  // Depth costs nothing.
  std::string deep = head + "N";
  for (int i = 0; i < 1'000'000; ++i) deep += '\x85';
  EXPECT_EQ(pickle_error(deep + "."), "m.bin holds a tuple, expected a dict of tensors");
  // Nor does a dict that holds itself.
  EXPECT_EQ(
      pickle_error(head + "}q" + std::string(1, '\0') + text("self") + "h" + std::string(1, '\0') + "s."),
      "m.bin has no tensors in its dict, but dicts 'self', like a training checkpoint: expected a state "
      "dict; save only that");
}

TEST(PickleTest, BrokenTensors) {
  const auto misfit = [](std::string_view shape, std::string_view strides, std::string_view rest) {
    return fmt::format(
        "tensor 'k' in m.bin of shape {} with strides {} begins at element {}, which it does not fit into",
        shape, strides, rest);
  };
  const auto error = [](std::int64_t offset, const Dims& shape, const Dims& strides,
                        std::int64_t count = 12) {
    return value_error(tensor(storage("0", count), offset, shape, strides));
  };
  constexpr std::int64_t huge = std::int64_t{1} << 62;
  EXPECT_EQ(error(1, {3, 4}, {4, 1}), misfit("[3, 4]", "[4, 1]", "1 of a storage of 12 elements"));
  EXPECT_EQ(error(-1, {3}, {1}), misfit("[3]", "[1]", "-1 of a storage of 12 elements"));
  EXPECT_EQ(error(13, {0}, {1}), misfit("[0]", "[1]", "13 of a storage of 12 elements"));
  EXPECT_EQ(error(0, {3}, {-1}), misfit("[3]", "[-1]", "0 of a storage of 12 elements"));
  EXPECT_EQ(error(0, {-3}, {1}), misfit("[-3]", "[1]", "0 of a storage of 12 elements"));
  EXPECT_EQ(error(0, {3}, {}), misfit("[3]", "[]", "0 of a storage of 12 elements"));
  EXPECT_EQ(error(0, {5}, {huge}), misfit("[5]", "[4611686018427387904]", "0 of a storage of 12 elements"));
  EXPECT_EQ(error(0, {huge, 4}, {0, 0}),
            misfit("[4611686018427387904, 4]", "[0, 0]", "0 of a storage of 12 elements"));
  EXPECT_EQ(error(0, {3}, {1}, huge), misfit("[3]", "[1]", "0 of a storage of 4611686018427387904 elements"));
  EXPECT_NE(error(0, {3}, {1}, -1).find("storage '0' has -1 elements, expected at least 0"),
            std::string::npos);
  EXPECT_EQ(error(0, Dims(33, 1), Dims(33, 1)), "tensor 'k' in m.bin has 33 axes, expected at most 32");
  EXPECT_NE(value_error(global("torch._utils", "_rebuild_tensor_v2") + ")R")
                .find("calls 'torch._utils._rebuild_tensor_v2' with arguments that torch does not use"),
            std::string::npos);
  EXPECT_EQ(
      value_error(global("torch._utils", "_rebuild_tensor_v2") +
                  tuple({storage("0", 1), integer(0), tuple({text("x")}), tuple({}), "\x89", "}"}) + "R"),
      "tensor 'k' in m.bin has a string in its shape, expected integers");
  EXPECT_EQ(value_error(tensor(storage("0", 1, "UntypedStorage"), 0, {}, {})),
            "tensor 'k' in m.bin has no dtype");
  EXPECT_EQ(value_error(global("torch._utils", "_rebuild_tensor_v3") +
                        tuple({storage("2", 8), integer(1), integers({3}), integers({1}), "\x89",
                               kOrderedDict, global("torch", "int64")}) +
                        "R"),
            "tensor 'k' in m.bin has dtype int64, but its storage has float32");

  const std::string good = tensor(storage("0", 12), 0, {3, 4}, {4, 1});
  EXPECT_EQ(pickle_error(pickled({{"a", good}, {"b", "N"}, {"a", good}})),
            "tensor 'a' occurs twice in m.bin");
  EXPECT_EQ(pickle_error("\x80\x02}" + integer(1) + good + "s."),
            "m.bin has an integer as the key of a tensor, expected a string");
  EXPECT_EQ(
      pickle_error(pickled({{std::string(10'001, 'x'), good}})),
      "tensor '" + std::string(200, 'x') + "…' in m.bin has a key of 10001 bytes, expected at most 10000");
  EXPECT_EQ(pickle_error(pickled({{"epoch", integer(3)}})),
            "m.bin has no tensors in its dict, expected a state dict");
  EXPECT_EQ(pickle_error("\x80\x02" + good + "."), "m.bin holds a tensor, expected a dict of tensors");
  EXPECT_EQ(pickle_error(pickled({{"state_dict", "}" + text("a") + good + "s"}, {"epoch", integer(3)}})),
            "m.bin has no tensors in its dict, but dicts 'state_dict', like a training checkpoint: expected "
            "a state dict; save only that");
}

// ---------------------------------------------------------------------------------------------------------------------
// Archives

struct ZipItem {
  std::string name, content;
  bool deflate = false;
  std::size_t padding = 0;  ///< in the extra field of the local header, as torch aligns storages
};

std::string deflated(const std::string& content) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// An archive like those of torch: sizes and checksums stand in the directory only.
std::string zip(const std::vector<ZipItem>& items, bool zip64 = false) {
  std::string file, directory;
  for (const ZipItem& item : items) {
    const std::string bytes = item.deflate ? deflated(item.content) : item.content;
    const auto* content = reinterpret_cast<const Bytef*>(item.content.data());
    const std::uint64_t crc = crc32(0, content, static_cast<uInt>(item.content.size()));
    const std::string method = le(item.deflate ? 8 : 0, 2);
    const std::uint64_t header = file.size();
    file += "PK\x03\x04" + le(0, 2) + le(0x808, 2) + method + le(0, 4) + le(0, 12) + le(item.name.size(), 2) +
            le(item.padding, 2) + item.name;
    file.append(item.padding, 'Z').append(bytes);
    file += "PK\x07\x08" + le(crc, 4) + le(bytes.size(), 4) + le(item.content.size(), 4);
    const std::string extra =
        le(1, 2) + le(24, 2) + le(item.content.size(), 8) + le(bytes.size(), 8) + le(header, 8);
    const auto in_32 = [&](std::uint64_t value) { return le(zip64 ? 0xffffffff : value, 4); };
    directory += "PK\x01\x02" + le(0, 4) + le(0x808, 2) + method + le(0, 4) + le(crc, 4) +
                 in_32(bytes.size()) + in_32(item.content.size()) + le(item.name.size(), 2) +
                 le(zip64 ? extra.size() : 0, 2) + le(0, 10) + in_32(header) + item.name +
                 (zip64 ? extra : "");
  }
  return file + directory + zip_end(items.size(), directory.size(), file.size(), zip64);
}

std::string floats(std::size_t count) {
  std::string bytes(4 * count, '\0');
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(i);
    std::memcpy(bytes.data() + 4 * i, &value, 4);
  }
  return bytes;
}

class TorchFileTest : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& content) {
    const fs::path path = folder_.path() / name;
    std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
    return path;
  }
  std::shared_ptr<const Checkpoint> open(const std::string& content) {
    return Checkpoint::open(write("pytorch_model.bin", content));
  }
  std::string error(const std::string& content) {
    return error_of([&] { open(content); });
  }
  /// The error of a good archive in which bytes were replaced.
  std::string error_after(std::string_view find, const std::string& replacement, std::size_t skip = 0) {
    std::string bytes = good();
    const std::size_t at = bytes.find(find);
    EXPECT_NE(at, std::string::npos);
    return error(bytes.replace(at + skip, replacement.size(), replacement));
  }
  static std::string good(bool zip64 = false, bool deflate = false) {
    const std::string shared = storage("0", 12);
    return zip({{"m/data.pkl",
                 pickled({{"a", tensor(shared, 0, {3, 4}, {4, 1})},
                          {"tied", tensor(shared, 0, {3, 4}, {4, 1})},
                          {"transposed", tensor(shared, 0, {4, 3}, {1, 4})},
                          {"row", tensor(shared, 4, {4}, {1})},
                          {"cube", tensor(shared, 0, {2, 1, 2, 3}, {3, 99, 6, 1})},
                          {"other", parameter(tensor(storage("1", 2), 0, {2}, {1}))}}),
                 deflate, 3},
                {"m/byteorder", "little"},
                {"m/data/0", floats(12), deflate, 5},
                {"m/data/1", floats(2), deflate},
                {"m/version", "3\n"}},
               zip64);
  }

  TempFolder folder_;
};

TEST_F(TorchFileTest, StoredAndDeflatedZip32AndZip64) {
  for (const bool zip64 : {false, true}) {
    for (const bool deflate : {false, true}) {
      const auto checkpoint = open(good(zip64, deflate));
      EXPECT_EQ(checkpoint->name(), "pytorch_model.bin");
      EXPECT_EQ(checkpoint->keys(),
                (std::vector<std::string>{"a", "cube", "other", "row", "tied", "transposed"}));
      const auto weight = [&](std::string_view key) { return checkpoint->weight(*checkpoint->find(key)); };
      EXPECT_EQ(weight("a").to_doubles(), (std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
      EXPECT_EQ(weight("row").to_doubles(), (std::vector<double>{4, 5, 6, 7}));
      EXPECT_EQ(weight("other").to_doubles(), (std::vector<double>{0, 1}));
      EXPECT_EQ(weight("a").fingerprint(), weight("tied").fingerprint());
      EXPECT_NE(weight("a").view(), nullptr);
      const Weight transposed = weight("transposed"), cube = weight("cube");
      EXPECT_EQ(transposed.shape(), (Dims{4, 3}));
      EXPECT_EQ(transposed.name(), "transposed");
      EXPECT_EQ(transposed.to_doubles(), (std::vector<double>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
      EXPECT_EQ(cube.shape(), (Dims{2, 1, 2, 3}));
      EXPECT_EQ(cube.to_doubles(), (std::vector<double>{0, 1, 2, 6, 7, 8, 3, 4, 5, 9, 10, 11}));
      EXPECT_EQ(checkpoint->num_parameters(), 12 * 4 + 4 + 2);
    }
  }
}

TEST_F(TorchFileTest, ThroughAScope) {
  const auto accounting = std::make_shared<KeyAccounting>();
  const Scope scope(open(good()), accounting);
  EXPECT_EQ(scope.weight("transposed", {4, 3}).to_doubles()[1], 4);
  EXPECT_EQ(error_of([&] { scope.weight("transposed", {3, 4}); }),
            "tensor 'transposed' in pytorch_model.bin has shape [4, 3], expected [3, 4]");
  EXPECT_TRUE(accounting->is_read("transposed"));
}

TEST_F(TorchFileTest, SafetensorsComeFirst) {
  write("pytorch_model.bin", good());
  EXPECT_EQ(Checkpoint::open(folder_.path())->name(), "pytorch_model.bin");
  const std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  write("model.safetensors", le(header.size(), 8) + header + "abcd");
  EXPECT_EQ(Checkpoint::open(folder_.path())->name(), "model.safetensors");
}

TEST_F(TorchFileTest, Shards) {
  write("pytorch_model.bin.index.json",
        R"({"metadata": {}, "weight_map": {"x": "one.bin", "y": "two.bin", "z": "two.bin"}})");
  write("one.bin", zip({{"o/data.pkl", pickled({{"x", tensor(storage("0", 2), 0, {2}, {1})}})},
                        {"o/data/0", floats(2)}}));
  EXPECT_EQ(error_of([&] { Checkpoint::open(folder_.path()); }),
            fmt::format(
                "shard 'two.bin', which pytorch_model.bin.index.json lists, is missing in '{}'; download it",
                folder_.path().string()));
  const std::string two = storage("0", 6);
  write(
      "two.bin",
      zip({{"t/data.pkl", pickled({{"y", tensor(two, 0, {6}, {1})}, {"z", tensor(two, 0, {3, 2}, {1, 3})}})},
           {"t/data/0", floats(6)}}));
  const auto checkpoint = Checkpoint::open(folder_.path());
  EXPECT_EQ(checkpoint->keys(), (std::vector<std::string>{"x", "y", "z"}));
  EXPECT_EQ(checkpoint->weight(*checkpoint->find("z")).to_doubles(), (std::vector<double>{0, 3, 1, 4, 2, 5}));
}

TEST_F(TorchFileTest, OtherFormats) {
  const std::string convert =
      ", expected a zip file; convert it to safetensors: load it with transformers and call "
      "model.save_pretrained(folder, safe_serialization=True)";
  EXPECT_EQ(
      error("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M"),
      "pytorch_model.bin is in the sequence of pickles that torch.save wrote before PyTorch 1.6" + convert);
  EXPECT_EQ(error("storages" + std::string(249, '\0') + "ustar" + std::string(500, '\0')),
            "pytorch_model.bin is in the tar format that torch.save wrote before PyTorch 1.6" + convert);
  EXPECT_EQ(error("version https://git-lfs.github.com/spec/v1\n"),
            "pytorch_model.bin is a git-lfs pointer, not the weights; run `git lfs pull` in its folder");
  EXPECT_EQ(error(""),
            "pytorch_model.bin (0 bytes) does not begin like a file of torch.save; download it again");
  EXPECT_EQ(error("<html>"),
            "pytorch_model.bin (6 bytes) does not begin like a file of torch.save; download it again");
  EXPECT_EQ(
      error(zip({{"m/x", "y"}})),
      "pytorch_model.bin is a zip file without entry <folder>/data.pkl, so torch.save did not write it");
  EXPECT_EQ(error(zip({{"m/data.pkl", "y"}, {"n/data.pkl", "y"}})),
            "pytorch_model.bin has two entries data.pkl, in 'm' and 'n', expected one");
  EXPECT_EQ(
      error(zip({{"m/data.pkl", "y"}, {"m/constants.pkl", "y"}})),
      "pytorch_model.bin is a program saved by torch.jit.save, expected a state dict saved by torch.save");
  EXPECT_EQ(error(zip({{"m/data.pkl", "y"}, {"m/byteorder", "big"}})),
            "pytorch_model.bin has the byte order 'big', expected 'little'");
}

TEST_F(TorchFileTest, StoragesThatDisagree) {
  const auto with = [&](const std::string& value, const std::string& content) {
    return error(zip({{"m/data.pkl", pickled({{"k", value}})}, {"m/data/0", content}}));
  };
  EXPECT_EQ(with(tensor(storage("1", 3), 0, {3}, {1}), floats(3)),
            "tensor 'k' in pytorch_model.bin is in entry 'm/data/1', which does not exist");
  EXPECT_EQ(with(tensor(storage("0", 4), 0, {3}, {1}), floats(3)),
            "tensor 'k' in pytorch_model.bin is in entry 'm/data/0' of 12 bytes, expected 16");
  EXPECT_EQ(with(tensor(storage("0", 3), 0, {4}, {0}), floats(3)),
            "tensor 'k' in pytorch_model.bin of shape [4] has strides [0]: its elements repeat or have gaps, "
            "expected each element once; call .contiguous() on it before torch.save");
  EXPECT_EQ(with(tensor(storage("0", 6), 0, {3}, {2}), floats(6))
                .find("tensor 'k' in pytorch_model.bin of shape [3] "
                      "has strides [2]"),
            0U);
}

TEST_F(TorchFileTest, EveryTruncationIsAnError) {
  const std::string whole = good();
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    EXPECT_NE(error(whole.substr(0, size)).find("download it again"), std::string::npos) << size;
  }
}

TEST_F(TorchFileTest, BrokenArchives) {
  EXPECT_EQ(error_after("PK\x05\x06", le(0xfffffff0, 4), 16)
                .find("pytorch_model.bin has its directory in [4294967280"),
            0U);
  EXPECT_EQ(error_after("PK\x05\x06", le(1000, 2) + le(1000, 2), 8)
                .find("pytorch_model.bin announces 1000 entries in a directory of "),
            0U);
  EXPECT_NE(error_after("PK\x05\x06", le(4, 2) + le(4, 2), 8).find("for its 4 entries"), std::string::npos);
  EXPECT_EQ(error_after("PK\x05\x06", le(1, 2), 4),
            "pytorch_model.bin is one part of a zip archive in several files, expected one");
  // The first entry of the directory is that of data.pkl.
  EXPECT_EQ(error_after("PK\x01\x02", le(0x809, 2), 8),
            "entry 'm/data.pkl' of pytorch_model.bin is encrypted, expected no encryption");
  EXPECT_EQ(error_after("PK\x01\x02", le(12, 2), 10),
            "entry 'm/data.pkl' of pytorch_model.bin is compressed by method 12, expected 0 (stored) or 8 "
            "(deflated)");
  EXPECT_NE(error_after("PK\x01\x02", le(1, 4), 24).find("bytes in the file, expected its size 1"),
            std::string::npos);
  EXPECT_NE(error_after("PK\x01\x02", le(0, 4), 16).find(", expected 00000000; download it again"),
            std::string::npos);
  EXPECT_EQ(error_after("PK\x01\x02", le(0xffffffff, 4) + le(0xffffffff, 4), 20),
            "entry 'm/data.pkl' of pytorch_model.bin has no zip64 field, but its size or offset needs one");
  EXPECT_NE(error_after("PK\x01\x02", le(0x10000000, 4) + le(0x10000000, 4), 20)
                .find("entry 'm/data.pkl' of pytorch_model.bin at byte 0 has 268435456 bytes, but "
                      "'m/byteorder' begins "
                      "at byte "),
            std::string::npos);
  EXPECT_NE(error_after("PK\x01\x02", le(1, 4), 42).find("no header for entry 'm/data.pkl' at byte 1, where"),
            std::string::npos);
  EXPECT_NE(error_after("PK\x03\x04", "X", 30).find("no header for entry 'm/data.pkl'"), std::string::npos);
  EXPECT_NE(error_after("PK\x03\x04", le(0xffff, 2), 28)
                .find("entry 'm/data.pkl' of pytorch_model.bin ends at byte"),
            std::string::npos);
  EXPECT_EQ(error(zip({{"m/data.pkl", "x"}, {"m/data.pkl", "x"}})),
            "pytorch_model.bin has entry 'm/data.pkl' twice");
}

TEST_F(TorchFileTest, BrokenDeflation) {
  const std::string value = tensor(storage("0", 1000), 0, {1000}, {1});
  const std::string bytes =
      zip({{"m/data.pkl", pickled({{"k", value}})}, {"m/data/0", std::string(4000, '\0'), true}});
  EXPECT_EQ(open(bytes)->tensors().size(), 1U);
  const std::size_t entry = bytes.rfind("PK\x01\x02");
  const auto with = [&](std::size_t at, const std::string& replacement) {
    std::string changed = bytes;
    return error(changed.replace(at, replacement.size(), replacement));
  };
  const std::size_t packed = deflated(std::string(4000, '\0')).size();
  EXPECT_EQ(
      with(entry + 24, le(4001, 4)).find("tensor 'k' in pytorch_model.bin is in entry 'm/data/0' of 4001"),
      0U);
  EXPECT_EQ(
      with(entry + 24, le(0x70000000, 4)),
      fmt::format(
          "entry 'm/data/0' of pytorch_model.bin claims 1879048192 bytes of content, expected at most {} "
          "from {} deflated ones",
          1032 * packed, packed));
  EXPECT_EQ(with(entry + 16, le(0, 4)).find("entry 'm/data/0' of pytorch_model.bin has the checksum "), 0U);
  EXPECT_EQ(
      with(entry + 20, le(packed - 3, 4)).find("entry 'm/data/0' of pytorch_model.bin is damaged: its "), 0U);
  EXPECT_NE(with(bytes.find("m/data/0") + 8, "\xff\xff\xff").find("are invalid"), std::string::npos);
  // More and less content than the directory says.
  const auto of_size = [&](std::size_t said, std::size_t real) {
    const std::string pickle =
        pickled({{"k", tensor(storage("0", static_cast<std::int64_t>(said / 4)), 0, {1}, {1})}});
    std::string archive = zip({{"m/data.pkl", pickle}, {"m/data/0", std::string(real, '\0'), true}});
    return error(archive.replace(archive.rfind("PK\x01\x02") + 24, 4, le(said, 4)));
  };
  EXPECT_EQ(of_size(4000, 4004),
            "entry 'm/data/0' of pytorch_model.bin has more bytes of content, expected 4000");
  EXPECT_EQ(of_size(4000, 3996),
            "entry 'm/data/0' of pytorch_model.bin has 3996 bytes of content, expected 4000");
}

}  // namespace
}  // namespace onnxport
