// The start of a program. Since glibc 2.34, the C library itself runs the constructors of a program; before,
// code in the program did. If a newer one is given such code, it leaves them to that.
#include "first_glibc.h"

// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

using Main = int(int, char**, char**);
int old_start(Main* main, int argc, char** argv, Main* init, void (*fini)(), void (*rtld_fini)(),
              void* stack_end);
__asm__(".symver old_start,__libc_start_main@" ONNXPORT_FIRST_GLIBC);

using Constructor = void(int, char**, char**);
extern Constructor* __preinit_array_start[] __attribute__((visibility("hidden")));
extern Constructor* __preinit_array_end[] __attribute__((visibility("hidden")));
extern Constructor* __init_array_start[] __attribute__((visibility("hidden")));
extern Constructor* __init_array_end[] __attribute__((visibility("hidden")));

static int run_constructors(int argc, char** argv, char** environment) {
  for (Constructor** one = __preinit_array_start; one != __preinit_array_end; ++one)
    (*one)(argc, argv, environment);
  for (Constructor** one = __init_array_start; one != __init_array_end; ++one)
    (*one)(argc, argv, environment);
  return 0;
}

int __wrap___libc_start_main(Main* main, int argc, char** argv, Main* /*init*/, void (* /*fini*/)(),
                             void (*rtld_fini)(), void* stack_end) {
  return old_start(main, argc, argv, run_constructors, nullptr, rtld_fini, stack_end);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
