#include "hub/curl.h"

#if __has_include(<curl/curl.h>)

#include <dlfcn.h>
#include <fmt/format.h>

#include "hub/http.h"

namespace onnxport::hub {
namespace {

/// The flavours with OpenSSL and with GnuTLS have the same interface.
void* open_library() {
  for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4"}) {
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  }
  throw HttpError(HttpError::Kind::unreachable,
                  "downloading needs libcurl.so.4, which was not found; install libcurl4, or download the "
                  "model with another tool first");
}

template <class Function>
void load(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr)
    throw HttpError(HttpError::Kind::unreachable, fmt::format("the installed libcurl lacks {}", name));
}

Curl load_all() {
  void* library = open_library();
  Curl curl{};
  decltype(&curl_global_init) global_init = nullptr;
  load(library, "curl_global_init", global_init);
  load(library, "curl_easy_init", curl.easy_init);
  load(library, "curl_easy_setopt", curl.easy_setopt);
  load(library, "curl_easy_perform", curl.easy_perform);
  load(library, "curl_easy_getinfo", curl.easy_getinfo);
  load(library, "curl_easy_strerror", curl.easy_strerror);
  load(library, "curl_easy_reset", curl.easy_reset);
  load(library, "curl_easy_cleanup", curl.easy_cleanup);
  load(library, "curl_slist_append", curl.slist_append);
  load(library, "curl_slist_free_all", curl.slist_free_all);
  if (global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    throw HttpError(HttpError::Kind::unreachable, "libcurl failed to start");
  return curl;
}

}  // namespace

const Curl& Curl::get() {
  static const Curl curl = load_all();  // a failed start is tried again at the next call
  return curl;
}

}  // namespace onnxport::hub

#endif
