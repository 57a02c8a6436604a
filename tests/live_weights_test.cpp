// Models in memory as checkpoints, and the cancellation of long work.
#include "onnxport/live_weights.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <span>

#include "checkpoint/checkpoint.h"
#include "onnxport/cancellation.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "support/file.h"
#include "support/parallel.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;

ErrorCode code_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const ExportError& error) {
    return error.code();
  }
  ADD_FAILURE() << "no ExportError";
  return ErrorCode::internal;
}

// The tensors of a checkpoint, copied to memory.
std::vector<LiveTensor> in_memory(const fs::path& folder) {
  std::vector<LiveTensor> tensors;
  const auto checkpoint = Checkpoint::open(folder);
  for (const TensorView& view : checkpoint->tensors()) {
    const auto bytes = std::make_shared<std::vector<std::byte>>(view.bytes());
    checkpoint->weight(view).read(0, view.numel(), bytes->data());
    tensors.push_back({view.key, view.dtype, view.shape, *bytes, bytes});
  }
  return tensors;
}

class LiveWeightsTest : public testing::Test {
 protected:
  LiveWeightsTest() {
    for (const char* name : {"config.json", "modules.json", "sentence_bert_config.json"}) {
      if (fs::exists(saved_ / name)) fs::copy_file(saved_ / name, folder_.path() / name);
    }
    fs::create_directories(folder_.path() / "1_Pooling");
    if (fs::exists(saved_ / "1_Pooling"))
      fs::copy(saved_ / "1_Pooling", folder_.path() / "1_Pooling", fs::copy_options::recursive);
  }

  std::string export_from(const fs::path& model, const char* name) {
    const fs::path output = folder_.path() / name;
    main_export({.model = model, .output = output, .validate = false});
    return read_text_file(output / "model.onnx", 1'000'000'000);
  }

  fs::path saved_ = test::minilm_dir();
  TempFolder folder_;
};

TEST_F(LiveWeightsTest, GiveTheBytesOfTheirFolder) {
  const LiveWeights weights(folder_.path(), in_memory(saved_));
  EXPECT_TRUE(export_from(folder_.path(), "live") == export_from(saved_, "saved"));
}

TEST_F(LiveWeightsTest, AreGoneWithTheirObject) {
  {
    const LiveWeights weights(folder_.path(), in_memory(saved_));
  }
  EXPECT_EQ(code_of([&] { export_from(folder_.path(), "live"); }), ErrorCode::bad_checkpoint);
}

TEST_F(LiveWeightsTest, BadTensorsAndFolders) {
  std::vector<LiveTensor> tensors = in_memory(saved_);
  tensors.front().shape.push_back(2);
  EXPECT_EQ(code_of([&] { const LiveWeights weights(folder_.path(), tensors); }), ErrorCode::bad_checkpoint);
  EXPECT_EQ(code_of([&] { const LiveWeights weights(folder_.path() / "nowhere", {}); }),
            ErrorCode::invalid_argument);
  const LiveWeights first(folder_.path(), {});
  EXPECT_EQ(code_of([&] { const LiveWeights second(folder_.path(), {}); }), ErrorCode::invalid_argument);
}

TEST(FileInMemory, IsReadLikeAFile) {
  const auto bytes = std::make_shared<std::string>("0123456789");
  const auto file = File::in_memory("text", std::as_bytes(std::span(*bytes)), bytes);
  EXPECT_EQ(file->size(), 10U);
  EXPECT_EQ(bytes.use_count(), 2);
  char out[3] = {};
  file->read(4, 3, reinterpret_cast<std::byte*>(out));
  EXPECT_EQ(std::string_view(out, 3), "456");
  EXPECT_EQ(code_of([&] { file->check_range(8, 3); }), ErrorCode::io);
}

TEST(CancellationTest, EndsParallelWork) {
  Cancellation cancellation;
  const Cancellation::Listening listening(&cancellation);
  std::atomic<int> calls = 0;
  const auto work = [&](std::size_t i) {
    ++calls;
    if (i == 3) cancellation.cancel();
  };
  EXPECT_THROW(parallel_for(100000, work, 4), Cancelled);
  EXPECT_LT(calls, 100000);
  EXPECT_THROW(parallel_for(1, work), Cancelled);
}

TEST(CancellationTest, ConcernsOnlyThoseWhoListen) {
  Cancellation cancellation;
  cancellation.cancel();
  {
    const Cancellation::Listening listening(&cancellation);
  }
  EXPECT_EQ(Cancellation::of_thread(), nullptr);
  parallel_for(4, [](std::size_t) {});
}

TEST_F(LiveWeightsTest, CancelledExportsLeaveNothing) {
  Cancellation cancellation;
  const Cancellation::Listening listening(&cancellation);
  const fs::path output = folder_.path() / "out";
  ExportOptions options;
  options.on_progress = [&](std::uint64_t, std::uint64_t) { cancellation.cancel(); };
  EXPECT_THROW(main_export({.model = saved_, .output = output, .export_options = options}), Cancelled);
  EXPECT_FALSE(fs::exists(output / "model.onnx"));
  for (const auto& entry : fs::directory_iterator(output))
    EXPECT_EQ(entry.path().string().find(".tmp"), std::string::npos) << entry.path();
}

}  // namespace
}  // namespace onnxport
