// The hub: the cache's layout, and downloads from a server that misbehaves.
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <thread>

#include "errors.h"
#include "hub/repo.h"
#include "hub_server.h"
#include "onnxport/error.h"
#include "support/file.h"
#include "support/temp_folder.h"
#include "test_environment.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using hub::Repo;
using hub::Settings;

std::string random_bytes(std::size_t size, unsigned seed) {
  std::mt19937 engine(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(engine());
  return bytes;
}

using test::complaint;
std::string complaint(const std::function<void()>& action) { return test::complaint(ErrorCode::io, action); }

void expect_words(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words)
    EXPECT_NE(text.find(word), std::string::npos) << word << "\nin: " << text;
}

// ---- downloads ----

class Hub : public testing::Test {
 protected:
  Hub() {
    setenv("no_proxy", "*", 1);
    server_.add("org/name", "config.json", "{}");
    server_.add("org/name", "model.safetensors", weights_, true);
  }

  Settings settings() const {
    return {.endpoint = server_.endpoint(),
            .cache = cache_,
            .token = "secret",
            .stall = std::chrono::seconds(5),
            .pause = std::chrono::milliseconds(1),
            .longest = std::chrono::milliseconds(4)};
  }

  // The snapshot after a download of both files.
  fs::path fetch(const HubOptions& options = {}) { return fetch(settings(), options); }
  fs::path fetch(const Settings& settings, const HubOptions& options = {}) {
    HubOptions listening = options;
    listening.on_notice = [this](const std::string& line) { notices_ += line + "\n"; };
    Repo repo("org/name", listening, settings);
    repo.fetch({"config.json", "model.safetensors"});
    repo.publish();
    return repo.folder();
  }

  // Changes answers with bytes of the large file.
  void spoil_store(const std::function<void(const HubRequest&, HubAnswer&)>& mischief) {
    server_.set_mischief([mischief](const HubRequest& request, HubAnswer& answer) {
      if (request.path.starts_with("/store/")) mischief(request, answer);
    });
  }

  fs::path folder() const { return cache_ / "models--org--name"; }
  fs::path blob() const { return folder() / "blobs" / sha256(weights_); }
  fs::path incomplete() const { return blob().string() + ".incomplete"; }
  void expect_whole(const fs::path& snapshot) const {
    EXPECT_EQ(read_text_file(snapshot / "config.json"), "{}");
    EXPECT_TRUE(read_text_file(snapshot / "model.safetensors") == weights_);
    EXPECT_FALSE(fs::exists(incomplete()));
  }
  void expect_nothing_wrong_in_cache() const {
    EXPECT_FALSE(fs::exists(blob()));
    EXPECT_FALSE(fs::exists(folder() / "refs" / "main"));
    EXPECT_FALSE(fs::is_symlink(folder() / "snapshots" / HubServer::commit() / "model.safetensors"));
  }

  CleanEnvironment environment_;
  HubServer server_;
  TempFolder temp_;
  fs::path cache_ = temp_.path() / "cache";
  std::string weights_ = random_bytes(300'000, 1);
  std::string notices_;
};

TEST_F(Hub, LayoutIsThatOfTheOtherTools) {
  const fs::path snapshot = fetch();
  EXPECT_EQ(snapshot, folder() / "snapshots" / HubServer::commit());
  expect_whole(snapshot);
  EXPECT_EQ(fs::read_symlink(snapshot / "model.safetensors"), "../../blobs/" + sha256(weights_));
  EXPECT_EQ(fs::read_symlink(snapshot / "config.json"), "../../blobs/" + git_hash("{}"));
  EXPECT_EQ(read_text_file(folder() / "refs" / "main"), HubServer::commit());
  EXPECT_TRUE(fs::exists(cache_ / ".locks" / "models--org--name" / (sha256(weights_) + ".lock")));
  std::size_t entries = 0;  // nothing temporary is left
  for (const auto& entry : fs::recursive_directory_iterator(folder()))
    entries += entry.is_directory() ? 0 : 1;
  EXPECT_EQ(entries, 5U);
}

TEST_F(Hub, WhatTheCacheHasIsNotAskedForAgain) {
  fetch();
  server_.forget_requests();
  expect_whole(fetch());
  EXPECT_EQ(server_.requests().size(), 1U);  // which commit is it?
  expect_whole(fetch({.force_download = false}));
  Settings force = settings();
  force.force = true;
  server_.forget_requests();
  expect_whole(fetch(force));
  EXPECT_EQ(server_.count("GET", "/store/*"), 1U);
}

TEST_F(Hub, BlobWithoutLinkIsLinked) {
  const fs::path snapshot = fetch();
  fs::remove(snapshot / "model.safetensors");
  server_.forget_requests();
  expect_whole(fetch());
  EXPECT_EQ(server_.count("GET", "/store/*"), 0U);
  // A link to nowhere, and a blob that a crash has cut.
  std::ofstream(blob()) << "short";
  fs::remove(snapshot / "model.safetensors");
  expect_whole(fetch());
}

TEST_F(Hub, Revisions) {
  for (const std::string& revision : {std::string("refs/pr/1"), std::string("main"), HubServer::commit()})
    expect_whole(fetch({.revision = revision}));
  EXPECT_EQ(read_text_file(folder() / "refs" / "refs" / "pr" / "1"), HubServer::commit());
  EXPECT_FALSE(fs::exists(folder() / "refs" / HubServer::commit()));
  expect_words(complaint([&] { fetch({.revision = "v9"}); }), {"org/name", "no revision 'v9'", "--revision"});
}

TEST_F(Hub, TokenStaysWithTheHub) {
  fetch();
  ASSERT_GE(server_.count("GET", "/store/*"), 1U);
  for (const HubRequest& request : server_.requests()) {
    const auto token = request.headers.find("authorization");
    if (request.path.starts_with("/store/")) {
      EXPECT_TRUE(token == request.headers.end()) << request.path;
    } else {
      ASSERT_TRUE(token != request.headers.end()) << request.path;
      EXPECT_EQ(token->second, "Bearer secret");
    }
  }
}

TEST_F(Hub, RenamedRepositoryIsFollowed) {
  server_.add("org/new", "config.json", "{}");
  server_.add("org/new", "model.safetensors", weights_, true);
  server_.set_mischief([this](const HubRequest& request, HubAnswer& answer) {
    const std::size_t at = request.path.find("org/name");
    if (at == std::string::npos) return;
    std::string moved = request.path;
    moved.replace(at, 8, "org/new");
    answer = {.status = 307, .headers = {{"Location", moved}}};
  });
  expect_whole(fetch());
}

TEST_F(Hub, RedirectionsEnd) {
  server_.set_mischief([](const HubRequest& request, HubAnswer& answer) {
    answer = {.status = 302, .headers = {{"Location", request.path}}};
  });
  expect_words(complaint([&] { fetch(); }), {"org/name", "redirected more than 10 times"});
  server_.set_mischief([](const HubRequest&, HubAnswer& answer) {
    answer = {.status = 302, .headers = {{"Location", "file:///etc/passwd"}}};
  });
  expect_words(complaint([&] { fetch(); }), {"org/name", "not followed"});
  server_.set_mischief([](const HubRequest&, HubAnswer& answer) { answer = {.status = 302}; });
  expect_words(complaint([&] { fetch(); }), {"org/name", "not followed"});
}

TEST_F(Hub, BrokenConnectionsAreResumed) {
  std::mt19937 engine(7);
  for (int round = 0; round < 10; ++round) {
    fs::remove_all(cache_);
    int cuts = 4;
    spoil_store([&](const HubRequest&, HubAnswer& answer) {
      if (cuts-- > 0) answer.send = engine() % (answer.body.size() + 1);
    });
    server_.forget_requests();
    expect_whole(fetch());
    std::uint64_t last = 0;
    for (const HubRequest& request : server_.requests()) {
      if (!request.path.starts_with("/store/") || !request.headers.contains("range")) continue;
      const std::uint64_t from = std::stoull(request.headers.at("range").substr(6));
      EXPECT_GE(from, last);
      last = from;
    }
    EXPECT_GT(last, 0U);
  }
}

TEST_F(Hub, ConnectionThatKeepsBreakingIsGivenUp) {
  spoil_store([](const HubRequest&, HubAnswer& answer) {
    answer.send = std::min<std::size_t>(answer.body.size(), 100);
  });
  expect_words(complaint([&] { fetch(); }),
               {"org/name", "model.safetensors", "after 6 attempts", "are kept", "300.0 kB"});
  EXPECT_EQ(fs::file_size(incomplete()), 600U);
  EXPECT_EQ(server_.count("GET", "/store/*"), 6U);
  expect_nothing_wrong_in_cache();
  spoil_store([](const HubRequest&, HubAnswer&) {});
  server_.forget_requests();
  expect_whole(fetch());
  EXPECT_EQ(server_.requests().back().headers.at("range"), "bytes=600-");
}

TEST_F(Hub, ServersWithoutRanges) {
  bool cut = true;
  spoil_store([&](const HubRequest&, HubAnswer& answer) {
    answer = {.body = weights_, .send = std::exchange(cut, false) ? 1000 : SIZE_MAX};
  });
  expect_whole(fetch());
}

TEST_F(Hub, AnotherRangeThanTheOneAskedFor) {
  bool cut = true;
  spoil_store([&](const HubRequest& request, HubAnswer& answer) {
    if (std::exchange(cut, false)) answer.send = 1000;
    if (!request.headers.contains("range")) return;
    answer = {.status = 206, .headers = {{"Content-Range", "bytes 7-9/300000"}}, .body = weights_.substr(7)};
  });
  expect_whole(fetch());  // from the start
  fs::remove_all(cache_);
  spoil_store([&](const HubRequest&, HubAnswer& answer) { answer = {.status = 206, .body = weights_}; });
  expect_words(complaint([&] { fetch(); }), {"model.safetensors", "a different part"});
  expect_nothing_wrong_in_cache();
}

TEST_F(Hub, WrongContentIsThrownAway) {
  spoil_store([&](const HubRequest&, HubAnswer& answer) { answer.body[1000] ^= 1; });
  std::string other = weights_;
  other[1000] ^= 1;
  expect_words(complaint([&] { fetch(); }),
               {"org/name", "model.safetensors", sha256(weights_), sha256(other)});
  expect_nothing_wrong_in_cache();
  EXPECT_EQ(server_.count("GET", "/store/*"), 1U);
  EXPECT_EQ(fs::file_size(incomplete()), 0U);
  fs::remove_all(cache_);
  server_.set_mischief([&](const HubRequest& request, HubAnswer& answer) {
    if (request.method == "GET" && request.path.ends_with("config.json")) answer.body = "[]";
  });
  expect_words(complaint([&] { fetch(); }), {"config.json", git_hash("{}"), git_hash("[]")});
}

TEST_F(Hub, RemainsOfAnotherDownloadAreNoHarm) {
  for (const std::size_t size : {std::size_t{10}, weights_.size(), weights_.size() + 10}) {
    fs::remove_all(cache_);
    fs::create_directories(incomplete().parent_path());
    std::ofstream(incomplete()) << std::string(size, 'x');
    expect_whole(fetch());
  }
}

TEST_F(Hub, Lengths) {
  // More than was announced.
  spoil_store([&](const HubRequest&, HubAnswer& answer) { answer.body += "more"; });
  expect_words(complaint([&] { fetch(); }), {"model.safetensors", "more than the 300000 bytes"});
  expect_nothing_wrong_in_cache();
  // Less, but in good order.
  spoil_store([&](const HubRequest&, HubAnswer& answer) {
    answer.body.resize(std::min<std::size_t>(answer.body.size(), 1000));
  });
  expect_words(complaint([&] { fetch(); }), {"model.safetensors", "too early"});
  // A length that the body does not have.
  spoil_store([&](const HubRequest&, HubAnswer& answer) {
    answer.length = "400000";
    answer.send = answer.body.size();
  });
  expect_whole(fetch());  // all that the hub announced has come
  // Sizes that no file has.
  for (const char* size : {"-1", "x", "", "99999999999999999999999", "1e9"}) {
    fs::remove_all(cache_);
    server_.set_mischief([&](const HubRequest&, HubAnswer& answer) {
      for (auto& [name, value] : answer.headers) {
        if (name == "X-Linked-Size") value = size;
      }
    });
    expect_words(complaint([&] { fetch(); }), {"org/name", "the size of model.safetensors"});
  }
  server_.set_mischief([&](const HubRequest&, HubAnswer& answer) {
    for (auto& [name, value] : answer.headers) {
      if (name == "X-Linked-Size") value = "4611686018427387904";
    }
  });
  expect_words(complaint([&] { fetch(); }), {"not enough space", "free"});
}

TEST_F(Hub, EmptyFile) {
  server_.add("org/name", "config.json", "");
  EXPECT_EQ(read_text_file(fetch() / "config.json"), "");
}

TEST_F(Hub, Refusals) {
  struct Case {
    int status;
    std::vector<std::string> words;
  };
  const std::vector<Case> cases = {{401, {"401", "private or gated", "no access"}},
                                   {403, {"403", "no access"}},
                                   {404, {"404", "no such repository"}},
                                   {429, {"429", "after 6 attempts", "try again later"}},
                                   {500, {"500", "after 6 attempts", "the server has a problem"}},
                                   {503, {"503", "after 6 attempts"}},
                                   {418, {"418", "HF_ENDPOINT"}}};
  for (const auto& [status, words] : cases) {
    for (const bool whole_hub : {true, false}) {
      fs::remove_all(cache_);
      server_.set_mischief([&, status = status](const HubRequest& request, HubAnswer& answer) {
        if (whole_hub || request.path.ends_with("model.safetensors"))
          answer = {.status = status,
                    .headers = {{"X-Error-Message", "because\x1b"}},
                    .body = std::string(100, '!')};
      });
      Settings settings = this->settings();
      const std::string text = complaint([&] { fetch(settings); });
      expect_words(text, {"org/name", "because?", server_.endpoint()});
      if (!whole_hub) expect_words(text, {"model.safetensors"});
      for (std::size_t i = 0; i < words.size(); ++i)
        if (status != 401 || i != 1) expect_words(text, {words[i]});
      settings.token = "";
      if (status == 401)
        expect_words(complaint([&] { fetch(settings); }), {"private or gated", "--token", "HF_TOKEN"});
    }
  }
}

TEST_F(Hub, TroubleThatPasses) {
  std::map<std::string, int> left;
  server_.set_mischief([&](const HubRequest& request, HubAnswer& answer) {
    int& times = left.try_emplace(request.method + request.path, 2).first->second;
    if (times-- > 0) answer = {.status = times == 0 ? 500 : 429};
  });
  expect_whole(fetch());
}

TEST_F(Hub, RetryAfterIsObeyed) {
  int times = 1;
  spoil_store([&](const HubRequest&, HubAnswer& answer) {
    if (times-- > 0) answer = {.status = 429, .headers = {{"Retry-After", "1"}}};
  });
  const auto start = std::chrono::steady_clock::now();
  expect_whole(fetch());
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(950));
  fs::remove_all(cache_);
  server_.forget_requests();
  spoil_store([&](const HubRequest&, HubAnswer& answer) {
    answer = {.status = 503, .headers = {{"Retry-After", "86400"}}};
  });
  expect_words(complaint([&] { fetch(); }), {"503", "try again later"});
  EXPECT_EQ(server_.count("GET", "/store/*"), 1U);
}

TEST_F(Hub, StallsAreNoticed) {
  int times = 1;
  spoil_store([&](const HubRequest&, HubAnswer& answer) {
    if (times-- > 0) answer.stall_ms = 20'000;
  });
  Settings settings = this->settings();
  settings.stall = std::chrono::seconds(1);
  expect_whole(fetch(settings));
  EXPECT_GE(server_.count("GET", "/store/*"), 2U);
}

TEST_F(Hub, OneFailureEndsAllDownloads) {
  server_.set_mischief([&](const HubRequest& request, HubAnswer& answer) {
    if (request.path.starts_with("/store/")) answer.piece = 10;  // for half a minute
    if (request.method == "GET" && request.path.ends_with("config.json")) answer = {.status = 403};
  });
  const auto start = std::chrono::steady_clock::now();
  expect_words(complaint([&] { fetch(); }), {"config.json", "403"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

// ---- without the network ----

TEST_F(Hub, UnreachableServer) {
  Settings settings = this->settings();
  settings.endpoint = "http://127.0.0.1:1";
  expect_words(complaint([&] { fetch(settings); }),
               {"org/name", cache_.string(), "http://127.0.0.1:1", "local folder"});
  fetch();
  expect_whole(fetch(settings));
  expect_words(notices_, {"http://127.0.0.1:1", "using commit " + HubServer::commit()});
  settings.force = true;
  expect_words(complaint([&] { fetch(settings); }), {"org/name", "cannot be looked up"});
}

TEST_F(Hub, ServerInTroubleLeavesTheCache) {
  fetch();
  for (const int status : {401, 404, 500}) {
    server_.set_mischief([&](const HubRequest&, HubAnswer& answer) { answer = {.status = status}; });
    notices_.clear();
    expect_whole(fetch());
    expect_words(notices_, {std::to_string(status), "from the cache"});
  }
  // But a revision that is gone is gone.
  server_.set_mischief([&](const HubRequest&, HubAnswer& answer) {
    answer = {.status = 404, .headers = {{"X-Error-Code", "RevisionNotFound"}}};
  });
  expect_words(complaint([&] { fetch(); }), {"no revision 'main'"});
}

TEST_F(Hub, Offline) {
  Settings settings = this->settings();
  settings.offline = "HF_HUB_OFFLINE=1";
  expect_words(complaint([&] { fetch(settings); }),
               {"org/name", cache_.string(), "HF_HUB_OFFLINE=1", "--cache_dir"});
  EXPECT_TRUE(server_.requests().empty());
  EXPECT_FALSE(fs::exists(cache_));
  fetch();
  server_.forget_requests();
  expect_whole(fetch(settings));
  expect_whole(fetch(settings, {.revision = HubServer::commit()}));
  EXPECT_TRUE(notices_.empty()) << notices_;
  fs::remove(blob());
  expect_words(complaint([&] { fetch(settings); }), {"is incomplete in the cache", "model.safetensors"});
  EXPECT_TRUE(server_.requests().empty());
  std::ofstream(folder() / "refs" / "main") << "../../..";
  expect_words(complaint([&] { fetch(settings); }), {"not in the cache"});
}

TEST_F(Hub, OldSnapshotStaysUntilTheNewOneIsWhole) {
  const std::string old(40, 'a');
  fs::create_directories(folder() / "refs");
  fs::create_directories(folder() / "snapshots" / old);
  std::ofstream(folder() / "refs" / "main") << old;
  spoil_store([](const HubRequest&, HubAnswer& answer) { answer = {.status = 403}; });
  complaint([&] { fetch(); });
  EXPECT_EQ(read_text_file(folder() / "refs" / "main"), old);
  server_.set_mischief({});
  fetch();
  EXPECT_EQ(read_text_file(folder() / "refs" / "main"), HubServer::commit());
}

// ---- hostile servers ----

TEST_F(Hub, NamesCannotLeaveTheCache) {
  for (const char* name : {"../../../evil", "/tmp/evil", "a/../../evil", "", "a//b"})
    server_.add("org/name", name, "x");
  const Repo repo("org/name", {}, settings());
  EXPECT_EQ(repo.files(), (std::vector<std::string>{"config.json", "model.safetensors"}));
  Repo other("org/name", {}, settings());
  complaint([&] { other.fetch({"../evil"}); }, ErrorCode::bad_checkpoint);
  for (const char* etag : {"../../../evil", "/tmp/evil", "", "\"\"", "a b"}) {
    server_.set_mischief([&](const HubRequest&, HubAnswer& answer) {
      for (auto& [header, value] : answer.headers) {
        if (header == "X-Linked-Etag") value = etag;
      }
      std::erase_if(answer.headers, [&](const auto& header) { return header.first == "ETag"; });
    });
    expect_words(complaint([&] { fetch(); }), {"org/name", "the etag of"});
  }
}

TEST_F(Hub, AnswersThatAreNone) {
  for (const std::string body :
       {"", "[]", "null", "{", "{\"sha\": 1}", "{\"sha\": \"../../..\"}", "<html>", "{\"sha\": \"\xff\"}"}) {
    server_.set_mischief([&](const HubRequest&, HubAnswer& answer) { answer.body = body; });
    expect_words(complaint([&] { fetch(); }), {"org/name", "does not answer like a Hub"});
  }
  server_.set_mischief([&](const HubRequest&, HubAnswer& answer) {
    answer.body =
        "{\"sha\": \"" + HubServer::commit() + "\", \"siblings\": [1, {}, {\"rfilename\": 2}, null]}";
  });
  EXPECT_TRUE(Repo("org/name", {}, settings()).files().empty());
  server_.set_mischief([&](const HubRequest&, HubAnswer& answer) { answer.body.assign(17'000'000, ' '); });
  expect_words(complaint([&] { fetch(); }), {"org/name", "more than 16000000 bytes"});
}

// ---- several at once ----

TEST_F(Hub, TwoDownloadOnce) {
  spoil_store([](const HubRequest&, HubAnswer& answer) { answer.piece = 10'000; });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      Repo repo("org/name", {}, settings());
      repo.fetch({"config.json", "model.safetensors"});
      repo.publish();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(server_.count("GET", "/store/*"), 1U);
  server_.set_mischief({});
  expect_whole(fetch());
}

TEST_F(Hub, EqualFilesAreStoredOnce) {
  for (const char* name : {"a.json", "b.json", "c.json"}) server_.add("org/name", name, "same");
  Repo repo("org/name", {}, settings());
  repo.fetch({"a.json", "b.json", "c.json"});
  for (const char* name : {"a.json", "b.json", "c.json"})
    EXPECT_EQ(read_text_file(repo.folder() / name), "same");
  EXPECT_EQ(server_.count("GET", "/org/name/*"), 1U);
}

TEST_F(Hub, WaitsForTheLockOfAnotherTool) {
  const fs::path lock = cache_ / ".locks" / "models--org--name" / (sha256(weights_) + ".lock");
  fs::create_directories(lock.parent_path());
  std::ofstream(lock) << "";
  const int held = ::open(lock.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  std::thread holder([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(2300));
    EXPECT_FALSE(fs::exists(incomplete()));
    fs::remove(lock);  // as some do at the end
    ::close(held);
  });
  expect_whole(fetch());
  holder.join();
  expect_words(notices_, {"waiting for another process", "model.safetensors"});
}

TEST_F(Hub, Progress) {
  std::uint64_t last = 0, total = 0;
  bool grows = true;
  fetch({.on_progress = [&](std::uint64_t done, std::uint64_t all) {
    grows = grows && done >= last && all >= total;
    last = done;
    total = all;
  }});
  EXPECT_TRUE(grows);
  EXPECT_EQ(last, weights_.size() + 2);
  EXPECT_EQ(total, last);
}

}  // namespace
}  // namespace onnxport::test
