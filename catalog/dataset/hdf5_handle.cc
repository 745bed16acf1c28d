#include "penstock/dataset/hdf5_handle.h"

#include <unistd.h>

namespace penstock {

namespace {

std::recursive_mutex& Hdf5Mutex() {
  // Files are closed by their owners; what damaged ones leave open makes the library complain when
  // it tidies up at the end of the process.
  static const herr_t no_tidying = H5dont_atexit();
  (void)no_tidying;
  static std::recursive_mutex mutex;
  return mutex;
}

// Called by the library where one of its functions fails.
herr_t EndWhereMemoryIsShort(hid_t stack, void* /*data*/) {
  H5Ewalk2(
      stack, H5E_WALK_UPWARD,
      [](unsigned /*n*/, const H5E_error2_t* error, void* /*data*/) -> herr_t {
        if (error->maj_num == H5E_RESOURCE) _exit(Hdf5Session::kOutOfMemoryStatus);
        return 0;
      },
      nullptr);
  return 0;
}

bool alone_after_fork = false;  // NOLINT: set once, in a process of one thread

}  // namespace

void Hdf5Session::AfterForkInChild() {
  alone_after_fork = true;
  H5Eset_auto2(H5E_DEFAULT, &EndWhereMemoryIsShort, nullptr);
}

Hdf5Session::Hdf5Session() {
  if (alone_after_fork) return;
  lock_ = std::unique_lock(Hdf5Mutex());
  H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Session::~Hdf5Session() {
  if (!alone_after_fork) H5Eset_auto2(H5E_DEFAULT, function_, data_);
}

}  // namespace penstock
