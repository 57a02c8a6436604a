#include "hub_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>

#include "hub/digest.h"
#include "support/file.h"
#include "support/text.h"

namespace onnxport::test {
namespace {

std::string hash(const std::string& bytes, std::size_t digits) {
  hub::Digest digest(std::string(digits, '0'), bytes.size());
  digest.update(std::as_bytes(std::span(bytes)));
  std::string actual;
  digest.matches(actual);
  return actual;
}

bool write_all(int connection, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t written = ::send(connection, data, size, MSG_NOSIGNAL);
    if (written <= 0) return false;
    data += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

}  // namespace

std::string sha256(const std::string& bytes) { return hash(bytes, 64); }
std::string git_hash(const std::string& bytes) { return hash(bytes, 40); }

HubServer::HubServer() {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (listener_ < 0 || ::bind(listener_, generic, size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, generic, &size) != 0) {
    throw std::runtime_error("no server on the loopback address");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

HubServer::~HubServer() {
  stop_ = true;
  acceptor_.join();
  for (std::thread& connection : connections_) connection.join();
  ::close(listener_);
}

void HubServer::add(const std::string& repo, const std::string& file, std::string content, bool large) {
  const std::lock_guard lock(mutex_);
  std::string etag = large ? sha256(content) : git_hash(content);
  repos_[repo][file] = {std::move(content), std::move(etag), large};
}

void HubServer::add_folder(const std::string& repo, const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = entry.path().lexically_relative(folder).generic_string();
    const auto file = onnxport::File::open(entry.path());
    std::string content(file->size(), '\0');
    file->read(0, content.size(), reinterpret_cast<std::byte*>(content.data()));
    add(repo, name, std::move(content), name.ends_with(".safetensors") || name.ends_with(".bin"));
  }
}

void HubServer::set_mischief(std::function<void(const HubRequest&, HubAnswer&)> mischief) {
  const std::lock_guard lock(mutex_);
  mischief_ = std::move(mischief);
}

std::vector<HubRequest> HubServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::size_t HubServer::count(const std::string& method, const std::string& pattern) const {
  const std::vector<HubRequest> seen = requests();
  return static_cast<std::size_t>(std::count_if(seen.begin(), seen.end(), [&](const HubRequest& request) {
    return text::glob_match(method, request.method) && text::glob_match(pattern, request.path);
  }));
}

void HubServer::forget_requests() {
  const std::lock_guard lock(mutex_);
  requests_.clear();
}

void HubServer::accept_all() {
  while (!stop_) {
    pollfd waiting{.fd = listener_, .events = POLLIN, .revents = 0};
    if (::poll(&waiting, 1, 20) <= 0) continue;
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection >= 0) connections_.emplace_back([this, connection] { serve(connection); });
  }
}

void HubServer::serve(int connection) {
  std::string input;
  for (bool open = true; open && !stop_;) {
    const std::size_t end = input.find("\r\n\r\n");
    if (end == std::string::npos) {
      pollfd waiting{.fd = connection, .events = POLLIN, .revents = 0};
      if (::poll(&waiting, 1, 20) <= 0) continue;
      char buffer[4096];
      const ssize_t got = ::recv(connection, buffer, sizeof(buffer), 0);
      if (got <= 0) break;
      input.append(buffer, static_cast<std::size_t>(got));
      continue;
    }
    HubRequest request;
    const std::size_t blank = input.find(' ');
    request.method = input.substr(0, blank);
    request.path = input.substr(blank + 1, input.find(' ', blank + 1) - blank - 1);
    for (std::size_t at = input.find("\r\n") + 2; at < end;) {
      const std::size_t colon = input.find(':', at), stop = input.find("\r\n", at);
      std::string name = input.substr(at, colon - at);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
      request.headers[name] = input.substr(colon + 2, stop - colon - 2);
      at = stop + 2;
    }
    input.erase(0, end + 4);

    HubAnswer reply;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      reply = answer(request);
      if (mischief_) mischief_(request, reply);
    }
    std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " Words\r\n";
    for (const auto& [name, value] : reply.headers)
      head.append(name).append(": ").append(value).append("\r\n");
    head += "Content-Length: " + reply.length.value_or(std::to_string(reply.body.size())) + "\r\n\r\n";
    open = write_all(connection, head.data(), head.size());
    for (int slept = 0; slept < reply.stall_ms && !stop_; slept += 10)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (request.method == "HEAD") continue;
    const std::size_t size = std::min(reply.send, reply.body.size());
    for (std::size_t at = 0; at < size && open && !stop_;) {
      const std::size_t part = std::min(reply.piece, size - at);
      open = write_all(connection, reply.body.data() + at, part);
      at += part;
      if (reply.piece != SIZE_MAX) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    open = open && reply.send == SIZE_MAX;
  }
  ::close(connection);
}

HubAnswer HubServer::answer(const HubRequest& request) const {
  const auto missing = [](const char* code) {
    return HubAnswer{.status = 404, .headers = {{"X-Error-Code", code}}, .body = "no"};
  };
  for (const auto& [repo, files] : repos_) {
    const std::string api = "/api/models/" + repo + "/revision/";
    if (request.path.starts_with(api)) {
      const std::string revision = request.path.substr(api.size());
      if (revision != "main" && revision != "refs%2Fpr%2F1" && revision != commit())
        return missing("RevisionNotFound");
      nlohmann::json info = {{"id", repo}, {"sha", commit()}, {"siblings", nlohmann::json::array()}};
      for (const auto& [name, file] : files) info["siblings"].push_back({{"rfilename", name}});
      return {.body = info.dump()};
    }
    const std::string resolve = "/" + repo + "/resolve/" + commit() + "/";
    if (request.path.starts_with(resolve)) {
      const auto file = files.find(request.path.substr(resolve.size()));
      if (file == files.end()) return missing("EntryNotFound");
      if (!file->second.large) return content(request, file->second);
      return {.status = 302,
              .headers = {{"Location", other_host() + "/store/" + file->second.etag},
                          {"X-Repo-Commit", commit()},
                          {"X-Linked-Etag", '"' + file->second.etag + '"'},
                          {"X-Linked-Size", std::to_string(file->second.content.size())}}};
    }
    for (const auto& [name, file] : files) {
      if (request.path == "/store/" + file.etag) return content(request, file);
    }
  }
  return missing("RepoNotFound");
}

HubAnswer HubServer::content(const HubRequest& request, const File& file) const {
  HubAnswer answer{.headers = {{"ETag", '"' + file.etag + '"'}, {"X-Repo-Commit", commit()}},
                   .body = file.content};
  const auto range = request.headers.find("range");
  if (range == request.headers.end()) return answer;
  const std::size_t from = std::stoul(range->second.substr(std::strlen("bytes=")));
  if (from >= file.content.size()) return {.status = 416};
  answer.status = 206;
  answer.body = file.content.substr(from);
  const std::string size = std::to_string(file.content.size());
  answer.headers.emplace_back("Content-Range", "bytes " + std::to_string(from) + "-" +
                                                   std::to_string(file.content.size() - 1) + "/" + size);
  return answer;
}

}  // namespace onnxport::test
