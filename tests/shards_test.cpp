// Checkpoints of several files, and the mistakes of an index.
#include "checkpoint/shards.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "errors.h"
#include "hollow_file.h"
#include "onnxport/scope.h"
#include "support/file.h"
#include "support/temp_folder.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using Dims = std::vector<std::int64_t>;
using Strings = std::vector<std::string>;

class ShardsTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& content) {
    fs::create_directories((folder_.path() / name).parent_path());
    std::ofstream(folder_.path() / name, std::ios::binary) << content;
  }
  void index(const std::string& weight_map) {
    write("model.safetensors.index.json", R"({"weight_map": )" + weight_map + "}");
  }
  void shard(const std::string& name, const std::vector<std::pair<std::string, Dims>>& tensors) {
    std::vector<test::HollowTensor> hollow;
    for (const auto& [key, shape] : tensors) hollow.push_back({key, DType::f32, shape});
    fs::create_directories((folder_.path() / name).parent_path());
    test::write_hollow_safetensors(folder_.path() / name, hollow);
  }
  std::string error() {
    return error_of([&] { Checkpoint::open(folder_.path()); });
  }
  std::shared_ptr<const Checkpoint> open() { return Checkpoint::open(folder_.path()); }

  TempFolder folder_;
};

TEST_F(ShardsTest, AreReadAsTheIndexSays) {
  write("model.safetensors.index.json", R"(
    {"metadata": {"total_size": 20, "x": [{}]}, "weight_map": {"b": "2.safetensors", "a": "1.safetensors", "c": "1.safetensors"}})");
  shard("1.safetensors", {{"a", {1}}, {"c", {2}}});
  EXPECT_EQ(
      error(),
      fmt::format("shard '2.safetensors', which model.safetensors.index.json lists, is missing in '{}'; "
                  "download it",
                  folder_.path().string()));
  // Not in the index: there all the same. In the index for another shard: that one counts.
  shard("2.safetensors", {{"b", {3}}, {"a", {9}}, {"unlisted", {1}}});
  const auto checkpoint = open();
  EXPECT_EQ(checkpoint->keys(), (Strings{"a", "b", "c", "unlisted"}));
  EXPECT_EQ(checkpoint->find("a")->shape, Dims{1});
  EXPECT_EQ(checkpoint->find("a")->file->name(), "1.safetensors");
  EXPECT_EQ(checkpoint->find("a")->file, checkpoint->find("c")->file) << "one open file per shard";
  EXPECT_EQ(checkpoint->name(), "model.safetensors.index.json");
  // A broken shard is named.
  write("2.safetensors", "short");
  EXPECT_EQ(error(), "2.safetensors has 5 bytes, too short for a safetensors file; download it again");
  fs::remove(folder_.path() / "2.safetensors");
  fs::create_symlink("nowhere", folder_.path() / "2.safetensors");
  EXPECT_TRUE(
      error().ends_with("is a link to 'nowhere', which does not exist: the download is not complete"));
}

TEST_F(ShardsTest, ATensorInTheWrongShardIsFound) {
  index(R"({"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"})");
  shard("1.safetensors", {{"a", {1}}});
  shard("2.safetensors", {{"b", {2}}, {"c", {3}}});
  const auto checkpoint = open();
  EXPECT_EQ(checkpoint->keys(), (Strings{"a", "b", "c"}));
  EXPECT_EQ(checkpoint->find("b")->file->name(), "2.safetensors");
}

TEST_F(ShardsTest, ATensorInNoShardIsMissingOnlyToThoseWhoReadIt) {
  index(R"({"a": "1.safetensors", "lost.weight": "1.safetensors"})");
  shard("1.safetensors", {{"a", {1}}});
  const auto checkpoint = open();
  EXPECT_EQ(checkpoint->keys(), Strings{"a"});
  const auto accounting = std::make_shared<KeyAccounting>();
  const Scope root(checkpoint, accounting);
  EXPECT_FALSE((root / "lost").has("weight"));
  EXPECT_EQ(error_of([&] { (root / "lost").weight("weight", {2}); }),
            "tensor 'lost.weight' of shape [2] is missing: model.safetensors.index.json lists it in shard "
            "'1.safetensors', which does not have it; download both again");
}

TEST_F(ShardsTest, ATensorInSeveralShardsNeedsTheIndex) {
  index(R"({"a": "1.safetensors", "b": "2.safetensors"})");
  shard("1.safetensors", {{"a", {1}}, {"x", {1}}});
  shard("2.safetensors", {{"b", {1}}, {"x", {1}}});
  EXPECT_EQ(error(), "tensor 'x' occurs in several shards of model.safetensors.index.json");
  index(R"({"a": "1.safetensors", "b": "2.safetensors", "x": "3.safetensors"})");
  shard("3.safetensors", {{"y", {1}}});
  EXPECT_EQ(error(), "tensor 'x' occurs in several shards of model.safetensors.index.json");
  index(R"({"a": "1.safetensors", "b": "2.safetensors", "x": "2.safetensors"})");
  EXPECT_EQ(open()->find("x")->file->name(), "2.safetensors");
}

TEST_F(ShardsTest, MayLieInFoldersBelow) {
  index(R"({"a": "weights/fp32/1.safetensors", "b": "2.safetensors"})");
  shard("weights/fp32/1.safetensors", {{"a", {1}}});
  shard("2.safetensors", {{"b", {1}}});
  const auto checkpoint = open();
  EXPECT_EQ(checkpoint->keys(), (Strings{"a", "b"}));
  EXPECT_EQ(checkpoint->files().size(), 2U);
}

TEST(IndexTest, Errors) {
  const auto parse = [](std::string_view text) {
    return error_of([&] { safetensors::parse_index(text, "i.json"); });
  };
  const auto shard = [&](std::string_view value) {
    return parse(fmt::format(R"({{"weight_map":{{"a":{}}}}})", value));
  };
  EXPECT_EQ(parse(""), "content of i.json is not a JSON object");
  EXPECT_EQ(parse("[]"), "content of i.json is not a JSON object");
  EXPECT_EQ(parse("{}"), "index i.json has no weight_map");
  EXPECT_EQ(parse("{\"a\":"), "content of i.json is broken JSON at byte 6");
  EXPECT_EQ(parse(R"({"weight_map":1})"), "weight_map of index i.json is a number, expected an object");
  EXPECT_EQ(parse(R"({"weight_map":[]})"), "weight_map of index i.json is an array, expected an object");
  EXPECT_EQ(parse(R"({"weight_map":{},"weight_map":{}})"), "index i.json has key 'weight_map' twice");
  EXPECT_EQ(parse(R"({"weight_map":{"a":"x","b":"y","a":"z"}})"), "weight_map of i.json has key 'a' twice");
  EXPECT_EQ(shard("1"), "index i.json has a number for tensor 'a', expected the name of a file");
  EXPECT_EQ(shard("{}"), "index i.json has an object for tensor 'a', expected the name of a file");
  EXPECT_EQ(shard("[]"), "index i.json has an array for tensor 'a', expected the name of a file");
  for (const std::string name :
       {"/etc/passwd", "../x", "..", ".", "", "a/../b", "a/", "a//b", "./a", "a\\\\b", "a\\u0000b"}) {
    const std::string error = shard('"' + name + '"');
    EXPECT_TRUE(error.starts_with("index i.json lists tensor 'a' in '") &&
                error.ends_with("', expected the name of a file beside or below it"))
        << error;
  }
  EXPECT_EQ(shard("\"model-00001-of-00002.safetensors\""), "no error");
  EXPECT_EQ(shard("\"fp32/model.safetensors\""), "no error");
}

// ---- what is known of keys that were not read ----

TEST(KeyAccountingTest, TellsHeadsFromTheBaseModel) {
  KeyAccounting accounting;
  EXPECT_FALSE(accounting.is_of_unread_head("classifier.weight")) << "nothing is known of a base model";
  accounting.mark_base("", "detr");
  accounting.mark_base("detr", "detr.model");
  for (const char* key :
       {"detr.model.layers.0.weight", "detr.class_labels_classifier.bias", "mask_head.weight"})
    accounting.mark_read(key);
  EXPECT_FALSE(accounting.is_of_unread_head("detr.model.adapter.weight")) << "in the base model";
  EXPECT_FALSE(accounting.is_of_unread_head("detr.class_labels_classifier.extra"))
      << "in a head that was read";
  EXPECT_FALSE(accounting.is_of_unread_head("mask_head.bias"));
  EXPECT_TRUE(accounting.is_of_unread_head("mask_head_2.bias"));
  EXPECT_TRUE(accounting.is_of_unread_head("detr.other_head.bias"));
  EXPECT_TRUE(accounting.is_of_unread_head("log_vars"));

  KeyAccounting bare;
  bare.mark_base("", "");
  EXPECT_FALSE(bare.is_of_unread_head("anything.weight")) << "all keys are those of the base model";

  KeyAccounting parts;  // two models side by side
  parts.mark_base("encoder", "encoder");
  parts.mark_base("decoder", "decoder.bert");
  EXPECT_FALSE(parts.is_of_unread_head("encoder.pooler.weight"));
  EXPECT_TRUE(parts.is_of_unread_head("decoder.cls.seq_relationship.weight"));
  EXPECT_FALSE(parts.is_of_unread_head("projection.weight"));
}

TEST_F(ShardsTest, ATiedPartHasTheTensorsOfTheOther) {
  shard("model.safetensors", {{"encoder.layer.0.weight", {2}},
                              {"encoder.pooler.weight", {3}},
                              {"decoder.bert.layer.0.cross.weight", {4}},
                              {"decoder.bert.layer.1.weight", {5}}});
  const auto tied = open()->tied("decoder", "encoder");
  const auto accounting = std::make_shared<KeyAccounting>();
  const Scope decoder = Scope(tied, accounting) / "decoder" / "bert";
  EXPECT_EQ(decoder.weight("layer.0.weight", {2}).name(), "encoder.layer.0.weight");
  EXPECT_EQ(decoder.weight("layer.1.weight", {5}).name(), "decoder.bert.layer.1.weight");
  EXPECT_EQ(decoder.weight("layer.0.cross.weight", {4}).name(), "decoder.bert.layer.0.cross.weight");
  EXPECT_FALSE(decoder.has("layer.2.weight"));
  EXPECT_EQ(accounting->unread(*tied), Strings{"encoder.pooler.weight"});
  EXPECT_EQ(open()->find("decoder.bert.layer.0.weight"), nullptr) << "only if tied";
}

}  // namespace
}  // namespace onnxport
