// Read by jemalloc: it keeps what tests free, because the system would clear each page before it gives it out
// again.
extern "C" {
// NOLINTNEXTLINE(readability-identifier-naming): jemalloc's name
__attribute__((visibility("default"))) const char* malloc_conf =
    "narenas:1,dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0";
}
