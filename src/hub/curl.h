/// The functions of libcurl that are used here.
#pragma once

// Without the headers the program is built all the same: it reads the cache and does not download.
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

  /// Opens the library at the first call. Throws HttpError(unreachable) when it is not there.
  static const Curl& get();
};

}  // namespace onnxport::hub
#endif
