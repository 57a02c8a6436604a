// Functions of which glibc 2.28 has another version than the glibc of the build, or which it lacks. The
// linker sends calls of NAME to __wrap_NAME (portable.cmake). Every later glibc still has the old versions.
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "first_glibc.h"

// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

/// Calls of NAME become calls of NAME@VERSION.
#define ONNXPORT_OLD(version, result, name, parameters, arguments) \
  result old_##name parameters;                                    \
  __asm__(".symver old_" #name "," #name "@" version);             \
  result __wrap_##name parameters { return old_##name arguments; }

ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, double, exp, (double x), (x))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, double, exp2, (double x), (x))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, double, log, (double x), (x))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, double, log2, (double x), (x))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, double, pow, (double x, double y), (x, y))

// Those of libdl and libpthread, which are a part of libc today.
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, void*, dlopen, (const char* path, int flags), (path, flags))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, void*, dlsym, (void* library, const char* name), (library, name))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, char*, dlerror, (), ())
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, int, pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, int, pthread_once, (pthread_once_t * once, void (*run)()), (once, run))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, int, pthread_key_create, (pthread_key_t * key, void (*destroy)(void*)),
             (key, destroy))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, int, pthread_key_delete, (pthread_key_t key), (key))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, void*, pthread_getspecific, (pthread_key_t key), (key))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, int, pthread_setspecific, (pthread_key_t key, const void* value),
             (key, value))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, int, pthread_rwlock_unlock, (pthread_rwlock_t * lock), (lock))
ONNXPORT_OLD(ONNXPORT_FIRST_GLIBC, int, pthread_sigmask, (int how, const sigset_t* set, sigset_t* old),
             (how, set, old))

// Before 2.33, these were inline functions, for which libc has a version number of the struct.
int __xstat(int version, const char* path, struct stat* result);
int __lxstat(int version, const char* path, struct stat* result);
int __fxstat(int version, int file, struct stat* result);
int __fxstatat(int version, int folder, const char* path, struct stat* result, int flags);
int __wrap_stat(const char* path, struct stat* result) { return __xstat(kStatVersion, path, result); }
int __wrap_lstat(const char* path, struct stat* result) { return __lxstat(kStatVersion, path, result); }
int __wrap_fstat(int file, struct stat* result) { return __fxstat(kStatVersion, file, result); }
int __wrap_fstatat(int folder, const char* path, struct stat* result, int flags) {
  return __fxstatat(kStatVersion, folder, path, result, flags);
}

pid_t __wrap_gettid() { return static_cast<pid_t>(syscall(SYS_gettid)); }

/// Waits on another clock than that of the condition for at most the same time. A change of the clock while
/// it waits only makes it wake up early or late once: who waits asks again for the time.
int __wrap_pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                                  const timespec* until) {
  timespec now = {}, real = {};
  if (clock_gettime(clock, &now) != 0 || clock_gettime(CLOCK_REALTIME, &real) != 0) return errno;
  constexpr long kSecond = 1000000000;
  real.tv_sec += until->tv_sec - now.tv_sec;
  real.tv_nsec += until->tv_nsec - now.tv_nsec;
  if (real.tv_nsec < 0) {
    real.tv_nsec += kSecond;
    --real.tv_sec;
  } else if (real.tv_nsec >= kSecond) {
    real.tv_nsec -= kSecond;
    ++real.tv_sec;
  }
  return pthread_cond_timedwait(condition, mutex, &real);
}

/// Whether the standard library may count references without atomic operations. Always false costs nothing
/// that can be measured.
char __wrap___libc_single_threaded = 0;

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
