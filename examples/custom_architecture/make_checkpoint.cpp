// Writes a tiny checkpoint of the made-up architecture: config.json and model.safetensors.
//
//   make_checkpoint DIR
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace {

// The safetensors format: length of the header, a JSON header, the tensors' bytes.
class Safetensors {
 public:
  void add(const std::string& name, std::vector<std::int64_t> shape, float mean = 0) {
    std::int64_t count = 1;
    std::string extents;
    for (const std::int64_t extent : shape) {
      count *= extent;
      extents += (extents.empty() ? "" : ",") + std::to_string(extent);
    }
    const std::size_t begin = values_.size() * sizeof(float);
    for (std::int64_t i = 0; i < count; ++i) {
      values_.push_back(
          mean + 0.3f * (static_cast<float>(random_()) / static_cast<float>(std::mt19937::max()) - 0.5f));
    }
    header_ += (header_.empty() ? "" : ",") +
               ("\"" + name + "\":{\"dtype\":\"F32\",\"shape\":[" + extents + "],\"data_offsets\":[") +
               std::to_string(begin) + "," + std::to_string(values_.size() * sizeof(float)) + "]}";
  }

  void write(const std::filesystem::path& file) const {
    const std::string header = "{" + header_ + "}";
    const std::uint64_t length = header.size();
    std::ofstream out(file, std::ios::binary);
    out.write(reinterpret_cast<const char*>(&length), sizeof length);
    out << header;
    out.write(reinterpret_cast<const char*>(values_.data()),
              static_cast<std::streamsize>(values_.size() * sizeof(float)));
  }

 private:
  std::mt19937 random_{1};
  std::string header_;
  std::vector<float> values_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << R"({
  "model_type": "gated-encoder",
  "architectures": ["GatedEncoderForSequenceClassification"],
  "vocab_size": 50,
  "hidden_size": 16,
  "intermediate_size": 24,
  "num_hidden_layers": 2,
  "id2label": {"0": "bad", "1": "fair", "2": "good"}
}
)";
  Safetensors weights;
  weights.add("encoder.embeddings.weight", {50, 16});
  for (int i = 0; i < 2; ++i) {
    const std::string layer = "encoder.layers." + std::to_string(i) + ".";
    weights.add(layer + "norm.weight", {16}, 1);
    weights.add(layer + "norm.bias", {16});
    for (const char* name : {"gate", "up"}) {
      weights.add(layer + name + ".weight", {24, 16});
      weights.add(layer + name + ".bias", {24});
    }
    weights.add(layer + "down.weight", {16, 24});
    weights.add(layer + "down.bias", {16});
  }
  weights.add("classifier.weight", {3, 16});
  weights.add("classifier.bias", {3});
  weights.write(folder / "model.safetensors");
  return 0;
}
