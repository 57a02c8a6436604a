#include "house_rules.h"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace onnxport::test {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// Tokens: words, and characters that are none.
std::vector<std::string> tokens_of(const std::string& text) {
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i;
    while (end < text.size() && is_word(text[end])) ++end;
    if (end == i) ++end;
    if (std::isspace(static_cast<unsigned char>(text[i])) == 0) tokens.push_back(text.substr(i, end - i));
    i = end;
  }
  return tokens;
}

// One pass over the tokens of a header. Of a class it counts the declarators of members of type bool.
class FlagCounter {
 public:
  explicit FlagCounter(const std::string& header) : tokens_(tokens_of(header)) {}

  std::map<std::string, std::size_t> count() {
    while (at_ < tokens_.size()) step();
    return std::move(counts_);
  }

 private:
  struct Scope {
    std::string class_name;  // empty: a namespace, a function, an initializer
    bool is_class = false;
  };

  void step() {
    const std::string& token = tokens_[at_];
    if (token == ";" || (token == ":" && is_access_label())) {
      end_statement();
    } else if (token == "{") {
      open();
    } else if (token == "}") {
      close();
    } else if (inside_class_or_namespace()) {
      statement_.push_back(token);
    }
    ++at_;
  }

  bool inside_class_or_namespace() const { return scopes_.empty() || scopes_.back().is_class; }
  bool is_access_label() const {
    return statement_.size() == 1 &&
           (statement_[0] == "public" || statement_[0] == "private" || statement_[0] == "protected");
  }

  void end_statement() {
    if (!inside_class_or_namespace()) return;
    if (!scopes_.empty() && !scopes_.back().class_name.empty()) {
      const std::size_t flags = flags_in(statement_);
      if (flags > 0) counts_[qualified_name()] += flags;
    }
    statement_.clear();
  }

  // `bool a = false, b;` are two. A function has its parenthesis before any initializer.
  static std::size_t flags_in(const std::vector<std::string>& statement) {
    auto at = statement.begin();
    while (at != statement.end() && (*at == "const" || *at == "mutable")) ++at;
    if (at == statement.end() || *at != "bool") return 0;
    if (std::find(at, statement.end(), "operator") != statement.end()) return 0;
    std::size_t flags = 1;
    int depth = 0;
    bool initialized = false;
    for (; at != statement.end(); ++at) {
      if (*at == "=") initialized = true;
      if (*at == "(" && !initialized) return 0;
      if (*at == "(" || *at == "<") ++depth;
      if (*at == ")" || *at == ">") --depth;
      if (*at != "," || depth != 0) continue;
      ++flags;
      initialized = false;
    }
    return flags;
  }

  void open() {
    Scope scope;
    const auto has = [this](const char* word) {
      return std::find(statement_.begin(), statement_.end(), word) != statement_.end();
    };
    if (has("namespace") || (has("extern") && !has("("))) {
      scope.is_class = true;
    } else if ((has("struct") || has("class")) && !has("enum") && !has("(") && !has("=")) {
      scope = {name_in(statement_), true};
    }
    if (scope.is_class) statement_.clear();
    scopes_.push_back(scope);
  }

  // A braced initializer belongs to its statement, as in `bool a{false}, b;`. The body of a function ends
  // one.
  void close() {
    const bool is_class = scopes_.empty() || scopes_.back().is_class;
    if (!scopes_.empty()) scopes_.pop_back();
    const bool goes_on = at_ + 1 < tokens_.size() && (tokens_[at_ + 1] == ";" || tokens_[at_ + 1] == ",");
    if (is_class || (inside_class_or_namespace() && !goes_on)) statement_.clear();
  }

  // `struct ONNXPORT_API Name final : Base`
  static std::string name_in(const std::vector<std::string>& statement) {
    const auto end = std::find(statement.begin(), statement.end(), ":");
    std::string name;
    for (auto at = statement.begin(); at != end; ++at) {
      if (*at != "final") name = *at;
    }
    return name;
  }

  std::string qualified_name() const {
    std::string name;
    for (const Scope& scope : scopes_) {
      if (scope.class_name.empty()) continue;
      name += (name.empty() ? "" : "::") + scope.class_name;
    }
    return name;
  }

  std::vector<std::string> tokens_;
  std::size_t at_ = 0;
  std::vector<Scope> scopes_;
  std::vector<std::string> statement_;
  std::map<std::string, std::size_t> counts_;
};

}  // namespace

Exceptions read_exceptions(const std::string& list, std::string_view kind) {
  Exceptions exceptions;
  std::istringstream lines(list);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string first, name;
    std::size_t number = 0;
    if (words >> first >> name >> number && first == kind) exceptions[name] = number;
  }
  return exceptions;
}

std::vector<std::string> limit_complaints(std::size_t limit,
                                          const std::map<std::string, std::size_t>& numbers,
                                          const Exceptions& exceptions) {
  std::vector<std::string> complaints;
  for (const auto& [name, number] : numbers) {
    const auto known = exceptions.find(name);
    const std::size_t most = known == exceptions.end() ? limit : known->second;
    if (number > most)
      complaints.push_back(name + " has " + std::to_string(number) + ", at most " + std::to_string(most));
  }
  for (const auto& [name, most] : exceptions) {
    const auto now = numbers.find(name);
    if (now == numbers.end() || now->second <= limit)
      complaints.push_back(name + " is no exception any more: remove it from the list");
  }
  return complaints;
}

std::map<std::string, std::size_t> flags_of_classes(const std::string& header) {
  return FlagCounter(without_comments(header)).count();
}

std::string without_comments(const std::string& text) {
  std::string code;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (text.compare(i, 2, "//") == 0) {
      i = std::min(text.find('\n', i), text.size());
    } else if (text.compare(i, 2, "/*") == 0) {
      const std::size_t end = text.find("*/", i + 2);
      i = end == std::string::npos ? text.size() : end + 2;
    } else if (c == '"' || (c == '\'' && (i == 0 || !is_word(text[i - 1])))) {  // 1'000 is a number
      for (++i; i < text.size() && text[i] != c; ++i) i += text[i] == '\\' ? 1 : 0;
      ++i;
      code += "0";
    } else if (c == '#') {  // a directive, with the lines that it continues on
      while (i < text.size() && text[i] != '\n') i += text[i] == '\\' ? 2 : 1;
    } else {
      code += c;
      ++i;
    }
  }
  return code;
}

std::vector<std::string> runtimes_named(const std::string& text) {
  // Anywhere, and as words of their own: of identifiers, the parts between underscores.
  static const char* const parts[] = {"onnxruntime", "onnx runtime", "com.microsoft", "openvino", "tensorrt",
                                      "coreml",      "directml",     "migraphx",      "xnnpack",  "webgpu"};
  static const std::set<std::string> words = {"ort", "qnn", "cuda", "tvm", "ncnn", "webnn"};
  std::vector<std::string> found;
  std::istringstream lines(lower_case(text));
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string at = std::to_string(++number) + ": ";
    for (const char* part : parts) {
      if (line.find(part) != std::string::npos) found.push_back(at + part);
    }
    std::replace(line.begin(), line.end(), '_', ' ');
    for (const std::string& token : tokens_of(line)) {
      if (words.contains(token)) found.push_back(at + token);
    }
  }
  return found;
}

}  // namespace onnxport::test
