// Scope: key paths, spellings, and the accounting of keys.
#include "onnxport/scope.h"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "errors.h"
#include "onnxport/error.h"
#include "safetensors_bytes.h"
#include "support/temp_folder.h"

namespace onnxport {
namespace {

using test::error_of;
using Dims = std::vector<std::int64_t>;

class ScopeTest : public ::testing::Test {
 protected:
  Scope open(const std::vector<std::pair<std::string, Dims>>& tensors) {
    const std::string bytes = test::float_file(tensors);
    std::ofstream(folder_.path() / "model.safetensors", std::ios::binary) << bytes;
    checkpoint_ = Checkpoint::open(folder_.path());
    accounting_ = std::make_shared<KeyAccounting>();
    return Scope(checkpoint_, accounting_);
  }
  std::vector<std::string> unread(const std::vector<std::string>& ignorable = {}) const {
    return accounting_->unread(*checkpoint_, ignorable);
  }

  TempFolder folder_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  std::shared_ptr<KeyAccounting> accounting_;
};

TEST_F(ScopeTest, PathsAndAccounting) {
  const Scope root = open({{"encoder.layer.0.weight", {2, 3}},
                           {"encoder.layer.0.bias", {2}},
                           {"encoder.layer.10.weight", {1}},
                           {"head", {1}}});
  const Scope layer = root / "encoder" / "layer" / 0;
  EXPECT_EQ(layer.path(), "encoder.layer.0");
  EXPECT_EQ((root / "encoder.layer" / "" / 0).path(), "encoder.layer.0");
  EXPECT_TRUE(layer.exists());
  EXPECT_FALSE((root / "encoder.layer.1").exists()) << "layer.10 is another one";
  EXPECT_FALSE((root / "head").exists()) << "a tensor is no scope";
  EXPECT_TRUE(root.exists());

  EXPECT_TRUE(layer.has("bias"));
  EXPECT_EQ(layer.shape_of("weight"), (Dims{2, 3}));
  EXPECT_EQ(layer.shape_of("gain"), std::nullopt);
  EXPECT_EQ(unread().size(), 4U) << "asking does not count as reading";

  const Weight w = layer.weight("weight", {2, 3});
  EXPECT_EQ(w.name(), "encoder.layer.0.weight");
  EXPECT_EQ(w.shape(), (Dims{2, 3}));
  EXPECT_FALSE(layer.try_weight("gain", {2}));
  EXPECT_EQ(root.weight("head", {1}).name(), "head");
  EXPECT_EQ(unread(), (std::vector<std::string>{"encoder.layer.0.bias", "encoder.layer.10.weight"}));
  EXPECT_EQ(unread({"*.bias"}), std::vector<std::string>{"encoder.layer.10.weight"});
  EXPECT_EQ(unread({"head", "encoder.layer.*"}), std::vector<std::string>{});
  (root / "encoder").ignore("layer.1");
  EXPECT_EQ(unread().size(), 2U);
  (root / "encoder").ignore("layer.10");
  layer.ignore("bias");
  EXPECT_TRUE(unread().empty());
  EXPECT_TRUE(accounting_->is_read("head"));
  EXPECT_FALSE(accounting_->is_read("encoder.layer.0.bias"));
}

TEST_F(ScopeTest, Messages) {
  const Scope root = open({{"a.b.weight", {3, 4}}, {"a.b.bias", {3}}, {"other", {1}}});
  EXPECT_EQ(error_of([&] { (root / "a.b").weight("weight", {4, 4}); }),
            "tensor 'a.b.weight' in model.safetensors has shape [3, 4], expected [4, 4]");
  EXPECT_EQ(error_of([&] { (root / "a.b").try_weight("bias", {}); }),
            "tensor 'a.b.bias' in model.safetensors has shape [3], expected []");
  EXPECT_EQ(error_of([&] { (root / "a" / "c").weight("weight", {3}); }),
            "tensor 'a.c.weight' of shape [3] is missing in model.safetensors; nearest keys: 'a.b.weight'");
  EXPECT_EQ(error_of([&] { root.weight("zzzzzzzzzzz", {3}); }),
            "tensor 'zzzzzzzzzzz' of shape [3] is missing in model.safetensors");
  EXPECT_EQ(unread().size(), 3U) << "what failed was not read";
  EXPECT_EQ(error_of([&] { Scope(nullptr, accounting_); }, ErrorCode::internal),
            "a scope needs a checkpoint and its accounting");
}

TEST_F(ScopeTest, NewerNames) {
  const KeyNames names = {.newer = {{"encoder.block.*", "stages.*.blocks"}, {"output.dense", "o_proj"}}};
  const Scope plain = open({{"part.stages.1.blocks.0.o_proj.weight", {2}},
                            {"part.stages.10.blocks.0.norm.gamma", {2}},
                            {"part.encoder.block.2.0.o_proj.weight", {2}},
                            {"encoder.block.3.weight", {2}}});
  const Scope root(checkpoint_, accounting_, "part", std::make_shared<const KeyNames>(names));
  const Scope block = root / "encoder.block";
  EXPECT_EQ((block / "1.0.output.dense").weight("weight", {2}).name(), "part.stages.1.blocks.0.o_proj.weight")
      << "the weight keeps the name under which it is stored";
  EXPECT_TRUE((block / "10.0.norm").has("weight")) << "in the old spelling of a norm, too";
  EXPECT_FALSE((block / "2.0.output.dense").has("weight")) << "all replacements apply";
  EXPECT_FALSE((plain / "encoder.block.1.0.output.dense").has("weight")) << "names of another model";
  EXPECT_FALSE((plain / "part.encoder.block.1.0.output.dense").has("weight"));
  (block / "10.0.norm").ignore("weight");
  EXPECT_EQ(unread(),
            (std::vector<std::string>{"encoder.block.3.weight", "part.encoder.block.2.0.o_proj.weight"}));
  EXPECT_EQ(
      error_of([&] { (block / 4).weight("weight", {2}); }),
      "tensor 'part.encoder.block.4.weight' of shape [2] is missing in model.safetensors; nearest keys: "
      "'encoder.block.3.weight', 'part.encoder.block.2.0.o_proj.weight', "
      "'part.stages.1.blocks.0.o_proj.weight'");
  const Scope inner = root.with_newer({.newer = {{"o_proj", "last"}}});
  EXPECT_FALSE((inner / "encoder.block.1.0.output.dense").has("weight")) << "those of the part come after";
}

TEST_F(ScopeTest, TiedWeightUnderAnotherName) {
  const auto names = std::make_shared<const KeyNames>(
      KeyNames{.embeddings = {"shared.weight", "encoder.words.weight"}, .head = "head.weight"});
  open({{"head.weight", {3, 2}}});
  const Scope only_head(checkpoint_, accounting_, "", names);
  EXPECT_EQ((only_head / "shared").weight("weight", {3, 2}).name(), "head.weight");
  EXPECT_FALSE((only_head / "encoder.words").has("weight")) << "only the key that modules ask for";
  EXPECT_FALSE((only_head / "shared").stores("weight"));
  open({{"encoder.words.weight", {3, 2}}, {"head.weight", {3, 2}}});
  const Scope both(checkpoint_, accounting_, "", names);
  EXPECT_EQ((both / "shared").weight("weight", {3, 2}).name(), "encoder.words.weight");
  EXPECT_EQ(unread(), std::vector<std::string>{"head.weight"});
}

TEST_F(ScopeTest, OldSpellings) {
  const Scope root = open({{"norm.gamma", {2}},
                           {"norm.beta", {2}},
                           {"both.gamma", {1}},
                           {"both.weight", {2}},
                           {"conv.weight_g", {1}},
                           {"conv.weight_v", {2}},
                           {"new.parametrizations.weight.original0", {1}},
                           {"new.parametrizations.weight.original1", {2}},
                           {"scale.weight", {2}},
                           {"xgamma", {1}}});
  EXPECT_EQ((root / "norm").weight("weight", {2}).name(), "norm.gamma");
  EXPECT_EQ((root / "norm").weight("bias", {2}).name(), "norm.beta");
  EXPECT_EQ((root / "both").weight("weight", {2}).name(), "both.weight") << "the exact name comes first";
  EXPECT_EQ((root / "both").weight("gamma", {1}).name(), "both.gamma");
  EXPECT_EQ((root / "conv").weight("parametrizations.weight.original0", {1}).name(), "conv.weight_g");
  EXPECT_EQ((root / "conv.parametrizations.weight").weight("original1", {2}).name(), "conv.weight_v");
  EXPECT_EQ((root / "new").weight("weight_g", {1}).name(), "new.parametrizations.weight.original0");
  EXPECT_EQ((root / "new").weight("weight_v", {2}).name(), "new.parametrizations.weight.original1");
  EXPECT_FALSE((root / "scale").has("gamma")) << "one way only";
  EXPECT_FALSE(root.has("xweight")) << "whole names only";
  EXPECT_EQ((root / "norm").shape_of("weight"), Dims{2});
  EXPECT_EQ(unread(), (std::vector<std::string>{"scale.weight", "xgamma"}));

  const Scope again = open({{"norm.gamma", {2}}, {"gamma", {3}}});
  EXPECT_EQ(again.weight("weight", {3}).name(), "gamma");
  (again / "norm").ignore("weight");
  EXPECT_TRUE(unread().empty());
  EXPECT_EQ(error_of([&] { (again / "norm").weight("weight", {3}); }),
            "tensor 'norm.gamma' in model.safetensors has shape [2], expected [3]");
}

TEST_F(ScopeTest, BaseModelPrefix) {
  EXPECT_EQ(open({{"bert.a", {1}}, {"cls.b", {1}}}).base_model("bert").path(), "bert");
  EXPECT_EQ(open({{"a", {1}}, {"bertish.b", {1}}}).base_model("bert").path(), "");
}

}  // namespace
}  // namespace onnxport
