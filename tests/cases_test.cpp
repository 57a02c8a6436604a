// The inputs for validation.
#include "validate/cases.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "onnxport/dummy_inputs.h"
#include "opened_fixture.h"

namespace onnxport::test {
namespace {

using Strings = std::vector<std::string>;
using Integers = std::vector<std::int64_t>;

Strings cases_of(const Interface& interface) {
  Strings names;
  for (const validate::InputCase& one : validate::input_cases(interface)) names.push_back(one.name);
  return names;
}

TEST(Cases, FollowTheInputs) {
  const auto cases = [](const std::string& fixture, std::size_t at = 0, const PlanRequest& how = {}) {
    return cases_of(Opened(fixture).plan(how).components.at(at).interface);
  };
  EXPECT_EQ(cases("bert/fill-mask"),
            (Strings{"batch_size 2, sequence_length 16", "batch_size 1, sequence_length 1",
                     "batch_size 3, sequence_length 7, padded on the right",
                     "batch_size 2, sequence_length 9, padded on the left"}));
  EXPECT_EQ(
      cases("bert/fill-mask", 0, {.dynamic_axes = false}),
      (Strings{"batch_size 2, sequence_length 16", "batch_size 2, sequence_length 16, padded on the right"}));
  EXPECT_EQ(cases("bert/multiple-choice")[1], "batch_size 1, num_choices 2, sequence_length 1");
  const Strings decoder = cases("llama/text-generation-with-past");
  ASSERT_EQ(decoder.size(), 6U);
  EXPECT_EQ(decoder[0], "batch_size 2, sequence_length 16, past_sequence_length 16");
  EXPECT_EQ(decoder[4], "batch_size 3, sequence_length 1, past_sequence_length 11, padded on the left");
  EXPECT_EQ(cases("vit/image-classification"), (Strings{"batch_size 2", "batch_size 1", "batch_size 3"}));
  EXPECT_EQ(cases("resnet/image-classification")[1], "batch_size 1, height 81, width 64");
  EXPECT_EQ(cases("wav2vec2/feature-extraction")[1], "batch_size 1, audio_sequence_length 8001");
  EXPECT_EQ(cases("audio-spectrogram-transformer/feature-extraction")[1], "batch_size 1");
  EXPECT_EQ(cases("sam/feature-extraction", 1)[1], "batch_size 1, point_batch_size 1, nb_points_per_image 1");
  EXPECT_EQ(cases("clip/feature-extraction")[2],
            "batch_size 3, text_batch_size 4, sequence_length 7, padded on the right");
  // Images beside text have sizes that the model takes, and different ones.
  EXPECT_EQ(cases("grounding-dino/zero-shot-object-detection"),
            (Strings{"batch_size 2, height 160, width 160, sequence_length 9",
                     "batch_size 1, height 177, width 160, sequence_length 1",
                     "batch_size 3, height 160, width 194, sequence_length 7, padded on the right",
                     "batch_size 2, height 160, width 160, sequence_length 9, padded on the left"}));
}

TEST(Cases, KeepToLimits) {
  const Opened llama("llama/text-generation-with-past");
  Interface interface = llama.plan().components[0].interface;
  DummyInputs dummies = *interface.dummies;
  dummies.longest_sequence = 8;
  interface.dummies = std::make_shared<const DummyInputs>(dummies);
  for (const validate::InputCase& one : validate::input_cases(interface))
    EXPECT_LE(find(one.inputs, "attention_mask")->shape[1], 8) << one.name;
}

TEST(Cases, PadMaskIdsAndPositions) {
  const Opened opt("opt/text-generation-with-past");
  const Interface interface = opt.plan().components[0].interface;
  const auto cases = validate::input_cases(interface);
  const NamedTensors& left = cases.at(3).inputs;  // two rows of nine tokens
  EXPECT_EQ(find(left, "attention_mask")->to_ints(),
            (Integers{1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1}));
  const Integers positions = find(left, "position_ids")->to_ints();
  EXPECT_EQ(Integers(positions.begin() + 9, positions.end()), (Integers{-1, -1, -1, 0, 1, 2, 3, 4, 5}));
  const Integers ids = find(left, "input_ids")->to_ints();
  EXPECT_EQ(Integers(ids.begin() + 9, ids.begin() + 12), Integers(3, 1));  // pad_token_id
}

TEST(Cases, RoundImagesToTheStep) {
  const Opened resnet("resnet/image-classification");
  Interface interface = resnet.plan().components[0].interface;
  DummyInputs dummies = *interface.dummies;
  dummies.images = {.step = 10, .smallest = {95, 95}};
  interface.dummies = std::make_shared<const DummyInputs>(dummies);
  EXPECT_EQ(cases_of(interface),
            (Strings{"batch_size 2, height 100, width 100", "batch_size 1, height 120, width 100",
                     "batch_size 3, height 100, width 130"}));
}

}  // namespace
}  // namespace onnxport::test
