// The hub: names, hashes, and what the environment says.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "errors.h"
#include "hub/digest.h"
#include "hub/http.h"
#include "hub/names.h"
#include "hub/settings.h"
#include "hub_server.h"
#include "onnxport/error.h"
#include "support/temp_folder.h"
#include "test_environment.h"

namespace onnxport::test {
namespace {

using hub::Settings;

// ---- names ----

TEST(HubNames, RepoIds) {
  for (const char* id :
       {"a", "org/name", "Foo-BAR_foo.bar123", "_a/b_", "sentence-transformers/all-MiniLM-L6-v2"})
    EXPECT_NO_THROW(hub::check_repo_id(id)) << id;
  for (const char* id : {"", "/", "a/", "/a", "a/b/c", ".a", "-a", "a-", "a.", "a/.b", "a--b", "a..b",
                         "a.git", "a b", "a\nb", "ä", "org/", "a\\b"}) {
    EXPECT_THROW(hub::check_repo_id(id), ExportError) << id;
  }
  EXPECT_NO_THROW(hub::check_repo_id(std::string(96, 'a')));
  EXPECT_THROW(hub::check_repo_id(std::string(97, 'a')), ExportError);
}

TEST(HubNames, RevisionsAndPaths) {
  for (const char* name : {"main", "v1.0", "refs/pr/1", "a-b_c"})
    EXPECT_NO_THROW(hub::check_revision(name)) << name;
  for (const char* name : {"..", "a/../b", "/a", "a/", "a//b", "a b", "a\nb", "a\\b", "a:b"})
    EXPECT_THROW(hub::check_revision(name), ExportError) << name;
  EXPECT_TRUE(hub::is_safe_path("1_Pooling/config.json"));
  for (const char* path : {"", ".", "..", "../a", "a/..", "a/./b", "/a", "a\x01"})
    EXPECT_FALSE(hub::is_safe_path(path)) << path;
  EXPECT_FALSE(hub::is_safe_path(std::string(256, 'a')));
  EXPECT_EQ(hub::quote("refs/pr/1"), "refs%2Fpr%2F1");
  EXPECT_EQ(hub::quote("a b/ä.json", "/"), "a%20b/%C3%A4.json");
  for (const char* etag : {"", "..", ".a", "a/b", "a b", "\"a\""})
    EXPECT_FALSE(hub::is_safe_etag(etag)) << etag;
}

TEST(HubNames, Origins) {
  EXPECT_TRUE(hub::same_origin("http://a:1/b", "HTTP://A:1"));
  for (const char* other :
       {"https://a:1/b", "http://a:2/b", "http://a:1.evil/b", "http://a:1@evil/b", "a:1/b", ""})
    EXPECT_FALSE(hub::same_origin(other, "http://a:1/b")) << other;
}

TEST(HubDigest, KnownHashes) {
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(git_hash(""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(git_hash("hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
  hub::Digest other("some-etag", 3);
  std::string actual;
  EXPECT_TRUE(other.matches(actual));
}

// ---- settings ----

TEST(HubSettings, ComeFromTheEnvironment) {
  const CleanEnvironment environment;
  const auto with = [](const std::map<std::string, std::string>& values, const HubOptions& options = {}) {
    for (const auto& [name, value] : values) setenv(name.c_str(), value.c_str(), 1);
    const Settings settings = hub::read_settings(options);
    for (const auto& [name, value] : values) unsetenv(name.c_str());
    return settings;
  };
  setenv("HOME", "/home/me", 1);
  EXPECT_EQ(with({}).cache, "/home/me/.cache/huggingface/hub");
  EXPECT_EQ(with({{"XDG_CACHE_HOME", "/x"}}).cache, "/x/huggingface/hub");
  EXPECT_EQ(with({{"HF_HOME", "~/h"}, {"XDG_CACHE_HOME", "/x"}}).cache, "/home/me/h/hub");
  EXPECT_EQ(with({{"HUGGINGFACE_HUB_CACHE", "/old"}, {"HF_HOME", "/h"}}).cache, "/old");
  EXPECT_EQ(with({{"HF_HUB_CACHE", "$HOME/${HOME}$NONE"}, {"HUGGINGFACE_HUB_CACHE", "/old"}}).cache,
            "/home/me//home/me$NONE");
  EXPECT_EQ(with({{"HF_HUB_CACHE", "/c"}}, {.cache_dir = "/mine"}).cache, "/mine");

  EXPECT_EQ(with({{"HF_ENDPOINT", "http://mirror/"}}).endpoint, "http://mirror");
  for (const char* wrong : {"", "mirror", "ftp://mirror", "https://", "http://a b"})
    complaint([&] { with({{"HF_ENDPOINT", wrong}}); }, ErrorCode::invalid_argument);
  unsetenv("HF_ENDPOINT");

  EXPECT_EQ(with({}).offline, "");
  EXPECT_EQ(with({{"HF_HUB_OFFLINE", "yes"}}).offline, "HF_HUB_OFFLINE=yes");
  EXPECT_EQ(with({{"TRANSFORMERS_OFFLINE", "1"}}).offline, "TRANSFORMERS_OFFLINE=1");
  EXPECT_EQ(with({{"HF_HUB_OFFLINE", "0"}, {"TRANSFORMERS_OFFLINE", "1"}}).offline, "");
  EXPECT_EQ(with({}, {.local_files_only = true}).offline, "--local_files_only");
  complaint([&] { with({}, {.local_files_only = true, .force_download = true}); },
            ErrorCode::invalid_argument);

  EXPECT_EQ(with({{"HF_HUB_DOWNLOAD_TIMEOUT", "3"}}).stall.count(), 3);
  for (const char* wrong : {"0", "-1", "x", "1.5", "99999999999999999999"})
    complaint([&] { with({{"HF_HUB_DOWNLOAD_TIMEOUT", wrong}}); }, ErrorCode::invalid_argument);
}

TEST(HubSettings, Token) {
  const CleanEnvironment environment;
  const TempFolder folder;
  setenv("HF_HOME", folder.path().c_str(), 1);
  const auto token = [](const HubOptions& options = {}) { return hub::read_settings(options).token; };
  EXPECT_EQ(token(), "");
  std::ofstream(folder.path() / "token") << "stored\n";
  EXPECT_EQ(token(), "stored");
  std::ofstream(folder.path() / "elsewhere") << "  other \r\n";
  setenv("HF_TOKEN_PATH", (folder.path() / "elsewhere").c_str(), 1);
  EXPECT_EQ(token(), "other");
  setenv("HUGGING_FACE_HUB_TOKEN", "older", 1);
  EXPECT_EQ(token(), "older");
  setenv("HF_TOKEN", "newer\n", 1);
  EXPECT_EQ(token(), "newer");
  EXPECT_EQ(token({.token = "mine"}), "mine");
  EXPECT_EQ(token({.local_files_only = true}), "");
  setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
  EXPECT_EQ(token(), "");
  const std::string words = complaint([&] { token({.token = "se\ncret"}); }, ErrorCode::invalid_argument);
  EXPECT_EQ(words.find("cret"), std::string::npos) << words;
}

}  // namespace
}  // namespace onnxport::test
