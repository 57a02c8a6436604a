/// The functions of libcurl that this room uses.
#pragma once

// Without libcurl's headers, the program can still be built: it reads the cache but does not download.
#if __has_include(<curl/curl.h>)
#include <curl/curl.h>

namespace onnxport::hub {

struct Curl {
  decltype(&curl_easy_init) easy_init;
  decltype(&curl_easy_setopt) easy_setopt;
  decltype(&curl_easy_perform) easy_perform;
  decltype(&curl_easy_getinfo) easy_getinfo;
  decltype(&curl_easy_strerror) easy_strerror;
  decltype(&curl_easy_reset) easy_reset;
  decltype(&curl_easy_cleanup) easy_cleanup;
  decltype(&curl_slist_append) slist_append;
  decltype(&curl_slist_free_all) slist_free_all;

  /// Opens the library at the first call. Throws HttpError(unreachable) if it is not installed.
  static const Curl& get();
};

}  // namespace onnxport::hub
#endif
