#include "generation_loop.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>

#include "onnxport/export.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

// Position of each real token among the real ones; padding has the position that clients give it.
Rows positions(const Rows& mask, std::int64_t padded) {
  Rows result = mask;
  for (auto& row : result) {
    std::int64_t seen = 0;
    for (std::int64_t& value : row) value = value != 0 ? seen++ : padded;
  }
  return result;
}

Rows repeated(const Rows& rows, std::int64_t times) {
  Rows result;
  for (const auto& row : rows) result.insert(result.end(), static_cast<std::size_t>(times), row);
  return result;
}

Rows picked(const Rows& rows, const std::vector<std::int64_t>& order) {
  Rows result;
  for (const std::int64_t row : order) result.push_back(rows.at(static_cast<std::size_t>(row)));
  return result;
}

// Logarithms of the probabilities of one row.
std::vector<double> log_softmax(const double* logits, std::int64_t count) {
  const double largest = *std::max_element(logits, logits + count);
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += std::exp(logits[i] - largest);
  std::vector<double> result(logits, logits + count);
  for (double& value : result) value -= largest + std::log(sum);
  return result;
}

struct Candidate {
  double score;
  std::int64_t row, token;
};

// "12 7;9 9;4 1"; nothing for a sentence that says why there are no tokens.
std::optional<Rows> rows_of(const std::string& text) {
  if (text.find_first_not_of("0123456789 ;") != text.npos) return std::nullopt;
  Rows rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line, ';');) {
    std::istringstream tokens(line);
    auto& row = rows.emplace_back();
    for (std::int64_t token; tokens >> token;) row.push_back(token);
  }
  return rows;
}

std::map<std::string, Generated> read_generated() {
  std::map<std::string, Generated> all;
  for (const auto& entry : std::filesystem::directory_iterator(source_dir() + "/tests/generation")) {
    if (entry.path().extension() != ".tsv") continue;
    std::ifstream file(entry.path());
    for (std::string fixture, way, text;
         std::getline(file, fixture, '\t') && std::getline(file, way, '\t') && std::getline(file, text);)
      (way == "beam" ? all[fixture].beam : all[fixture].greedy) = rows_of(text.substr(0, text.find('\t')));
  }
  return all;
}

}  // namespace

Tensor integers(const Rows& rows) {
  std::vector<std::int64_t> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return Tensor::from_ints(
      DType::i64, {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows[0].size())}, flat);
}

Rows last_columns(const Rows& rows, std::int64_t count) {
  Rows result;
  for (const auto& row : rows) result.emplace_back(row.end() - count, row.end());
  return result;
}

ExportedDecoder::ExportedDecoder(const std::filesystem::path& checkpoint, const std::string& task,
                                 const std::filesystem::path& file)
    : model_(TasksManager::instance().get_model_from_task(task, checkpoint)),
      config_(TasksManager::instance().get_exporter_config_constructor(model_)(model_.config(), task, {})),
      vocab_size_(config_->normalized_config()["vocab_size"]) {
  export_onnx(model_, *config_, file);
  session_ = std::make_unique<runtime::Session>(file, runtime::SessionOptions{.intra_op_threads = 1});
}

NamedTensors ExportedDecoder::empty_cache(std::int64_t rows) const {
  NamedTensors cache;
  for (const StateSpec& state : config_->interface().states) {
    if (state.input.empty()) continue;
    std::vector<std::int64_t> shape;
    for (const Dim& dim : state.shape)
      shape.push_back(dim.evaluate({{"batch_size", rows}, {"past_sequence_length", 0}}));
    cache.emplace_back(state.input, Tensor(state.dtype, shape));
  }
  return cache;
}

std::vector<double> ExportedDecoder::last_logits(const Sequences& sequences, std::int64_t past,
                                                 NamedTensors& cache) const {
  const auto& [ids, mask] = sequences;
  const auto length = static_cast<std::int64_t>(ids[0].size()) - past;
  NamedTensors inputs = {
      {"input_ids", integers(last_columns(ids, length))},
      {"attention_mask", integers(mask)},
      {"position_ids", integers(last_columns(positions(mask, config_->padded_position_id()), length))}};
  inputs.insert(inputs.end(), cache.begin(), cache.end());
  const NamedTensors outputs = session_->run(inputs);
  cache.clear();
  for (const StateSpec& state : config_->interface().states)
    if (!state.input.empty()) cache.emplace_back(state.input, *find(outputs, state.output));
  const std::vector<double> logits = find(outputs, "logits")->to_doubles();
  std::vector<double> last;
  for (std::int64_t row = 0; row < static_cast<std::int64_t>(ids.size()); ++row) {
    const auto begin = logits.begin() + ((row + 1) * length - 1) * vocab_size_;
    last.insert(last.end(), begin, begin + vocab_size_);
  }
  return last;
}

Decoding::Decoding(const ExportedDecoder& decoder, std::int64_t rows, std::int64_t changes_at)
    : decoder_(decoder), changes_at_(changes_at), cache_(decoder.empty_cache(rows)) {}

std::vector<double> Decoding::next_logits(const Sequences& sequences) {
  const auto length = static_cast<std::int64_t>(sequences.ids[0].size());
  if (length > changes_at_ && past_ <= changes_at_ && changes_at_ > 0) {
    cache_ = decoder_.empty_cache(static_cast<std::int64_t>(sequences.ids.size()));
    past_ = 0;
  }
  std::vector<double> logits = decoder_.last_logits(sequences, past_, cache_);
  past_ = length;
  return logits;
}

void Decoding::reorder(const std::vector<std::int64_t>& rows) {
  for (auto& [name, state] : cache_) {
    const std::vector<std::byte> old = state.data;
    const std::size_t bytes = old.size() / rows.size();
    for (std::size_t i = 0; i < rows.size(); ++i)
      std::memcpy(state.data.data() + i * bytes, old.data() + static_cast<std::size_t>(rows[i]) * bytes,
                  bytes);
  }
}

std::vector<std::int64_t> most_likely(const std::vector<double>& logits, std::int64_t vocab_size) {
  std::vector<std::int64_t> tokens;
  for (auto row = logits.begin(); row != logits.end(); row += vocab_size)
    tokens.push_back(std::max_element(row, row + vocab_size) - row);
  return tokens;
}

Rows beam_search(const ExportedDecoder& decoder, const Sequences& prompts, std::int64_t beams,
                 std::int64_t count, std::int64_t changes_at) {
  Sequences all = {repeated(prompts.ids, beams), repeated(prompts.mask, beams)};
  const auto rows = static_cast<std::int64_t>(all.ids.size());
  const std::int64_t vocab_size = decoder.vocab_size();
  // At first all beams of a sequence are equal, so only one counts.
  std::vector<double> scores(static_cast<std::size_t>(rows));
  for (std::int64_t row = 0; row < rows; ++row)
    scores[static_cast<std::size_t>(row)] = row % beams == 0 ? 0 : -1e9;
  Decoding decoding(decoder, rows, changes_at);
  for (std::int64_t step = 0; step < count; ++step) {
    const std::vector<double> logits = decoding.next_logits(all);
    std::vector<std::int64_t> origins, tokens;
    std::vector<double> kept;
    for (std::int64_t first = 0; first < rows; first += beams) {
      std::vector<Candidate> candidates;
      for (std::int64_t row = first; row < first + beams; ++row) {
        const std::vector<double> likely = log_softmax(logits.data() + row * vocab_size, vocab_size);
        for (std::int64_t token = 0; token < vocab_size; ++token) {
          candidates.push_back(
              {scores[static_cast<std::size_t>(row)] + likely[static_cast<std::size_t>(token)], row, token});
        }
      }
      std::partial_sort(candidates.begin(), candidates.begin() + beams, candidates.end(),
                        [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
      for (std::int64_t beam = 0; beam < beams; ++beam) {
        const Candidate& best = candidates[static_cast<std::size_t>(beam)];
        origins.push_back(best.row);
        tokens.push_back(best.token);
        kept.push_back(best.score);
      }
    }
    scores = kept;
    all = {picked(all.ids, origins), picked(all.mask, origins)};
    decoding.reorder(origins);
    for (std::size_t row = 0; row < all.ids.size(); ++row) {
      all.ids[row].push_back(tokens[row]);
      all.mask[row].push_back(1);
    }
  }
  std::vector<std::int64_t> best(prompts.ids.size());  // the first beam of each is the most likely one
  for (std::size_t i = 0; i < best.size(); ++i) best[i] = static_cast<std::int64_t>(i) * beams;
  return last_columns(picked(all.ids, best), count);
}

std::optional<Generated> generated_by_transformers(const std::string& fixture) {
  static const std::map<std::string, Generated> all = read_generated();
  const auto found = all.find(fixture);
  return found == all.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace onnxport::test
