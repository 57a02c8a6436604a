/// A hub on the loopback address, for tests: it serves repositories, and misbehaves as it is told.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace onnxport::test {

struct HubRequest {
  std::string method, path;
  std::map<std::string, std::string> headers;  ///< names in lower case
};

struct HubAnswer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  std::optional<std::string> length = {};  ///< Content-Length, where it is not the body's
  std::size_t send = SIZE_MAX;             ///< bytes of the body after which the connection is closed
  int stall_ms = 0;                        ///< pause before the body
  std::size_t piece = SIZE_MAX;            ///< bytes after each of which there is a pause of a millisecond
};

/// Threads answer until the server is destroyed.
class HubServer {
 public:
  HubServer();
  ~HubServer();
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;

  /// Under the address of the hub, and under another name for the same machine.
  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::string other_host() const { return "http://localhost:" + std::to_string(port_); }

  /// A file of `repo`; with `large`, it is one whose bytes lie on the other host, under their SHA-256.
  void add(const std::string& repo, const std::string& file, std::string content, bool large = false);
  /// All files below a folder; those with weights are large.
  void add_folder(const std::string& repo, const std::filesystem::path& folder);
  /// The one commit that all repositories are at.
  static std::string commit() { return std::string(40, 'c'); }

  /// Sees each answer before it is sent, one at a time, and may change it.
  void set_mischief(std::function<void(const HubRequest&, HubAnswer&)> mischief);
  /// All requests so far.
  std::vector<HubRequest> requests() const;
  /// Those whose method and path are these; `*` stands for anything.
  std::size_t count(const std::string& method, const std::string& pattern) const;
  void forget_requests();

 private:
  struct File {
    std::string content;
    std::string etag;
    bool large = false;
  };
  void accept_all();
  void serve(int connection);
  HubAnswer answer(const HubRequest& request) const;
  HubAnswer content(const HubRequest& request, const File& file) const;

  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  mutable std::mutex mutex_;
  std::map<std::string, std::map<std::string, File>> repos_;
  std::function<void(const HubRequest&, HubAnswer&)> mischief_;
  std::vector<HubRequest> requests_;
  std::vector<std::thread> connections_;  // of the acceptor, until it has ended
  std::thread acceptor_;
};

/// Lower-case SHA-256 of bytes, or git's hash of them as a blob.
std::string sha256(const std::string& bytes);
std::string git_hash(const std::string& bytes);

}  // namespace onnxport::test
