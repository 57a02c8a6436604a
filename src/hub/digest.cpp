#include "hub/digest.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "support/fail.h"
#include "support/text.h"

namespace onnxport::hub {
namespace {

constexpr std::size_t kSha1Digits = 40, kSha256Digits = 64;

// The part of the interface of OpenSSL 1.1 and 3 that is needed (EVP_DigestInit(3)).
struct Crypto {
  void* (*new_context)();
  void (*free_context)(void*);
  const void* (*sha1)();
  const void* (*sha256)();
  int (*start)(void* context, const void* type, void* engine);
  int (*update)(void* context, const void* bytes, std::size_t size);
  int (*finish)(void* context, unsigned char* out, unsigned* size);

  static const Crypto& get() {
    static const Crypto crypto;  // a failed start is tried again at the next call
    return crypto;
  }

 private:
  Crypto() {
    void* library = nullptr;
    for (const char* name : {"libcrypto.so.3", "libcrypto.so.1.1"}) {
      if (library == nullptr) library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    }
    if (library == nullptr) {
      fail(ErrorCode::io,
           "a download cannot be verified: libcrypto.so.3 was not found; install libssl3, or "
           "download the model with another tool first");
    }
    load(library, "EVP_MD_CTX_new", new_context);
    load(library, "EVP_MD_CTX_free", free_context);
    load(library, "EVP_sha1", sha1);
    load(library, "EVP_sha256", sha256);
    load(library, "EVP_DigestInit_ex", start);
    load(library, "EVP_DigestUpdate", update);
    load(library, "EVP_DigestFinal_ex", finish);
  }

  template <class Function>
  static void load(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) fail(ErrorCode::io, "a download cannot be verified: libcrypto lacks {}", name);
  }
};

bool is_hash(std::string_view text) {
  return (text.size() == kSha1Digits || text.size() == kSha256Digits) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

void check(int done) {
  if (done != 1) fail(ErrorCode::io, "a download cannot be verified: libcrypto failed to compute a hash");
}

}  // namespace

Digest::Digest(std::string_view etag, std::uint64_t size) : context_(nullptr, [](void*) {}) {
  if (!is_hash(etag)) return;
  const Crypto& crypto = Crypto::get();
  expected_ = text::lower(etag);
  context_ = {crypto.new_context(), crypto.free_context};
  if (context_ == nullptr) throw std::bad_alloc();
  const bool is_git = etag.size() == kSha1Digits;
  check(crypto.start(context_.get(), is_git ? crypto.sha1() : crypto.sha256(), nullptr));
  if (!is_git) return;
  const std::string header = fmt::format("blob {}", size);
  update(std::as_bytes(std::span(header.c_str(), header.size() + 1)));
}

void Digest::update(std::span<const std::byte> bytes) {
  if (context_ != nullptr) check(Crypto::get().update(context_.get(), bytes.data(), bytes.size()));
}

bool Digest::matches(std::string& actual) {
  if (context_ == nullptr) return true;
  std::array<unsigned char, 64> hash{};
  unsigned size = 0;
  check(Crypto::get().finish(context_.get(), hash.data(), &size));
  actual.clear();
  for (unsigned i = 0; i < size; ++i) actual += fmt::format("{:02x}", hash[i]);
  return actual == expected_;
}

}  // namespace onnxport::hub
