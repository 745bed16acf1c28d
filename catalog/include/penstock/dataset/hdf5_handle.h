// Ownership of HDF5 identifiers, and the one lock around a library that is not thread-safe.

#ifndef PENSTOCK_DATASET_HDF5_HANDLE_H_
#define PENSTOCK_DATASET_HDF5_HANDLE_H_

#include <hdf5.h>

#include <mutex>
#include <utility>

namespace penstock {

class Hdf5Handle {
 public:
  using Close = herr_t (*)(hid_t);

  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, Close close) : id_(id), close_(close) {}
  ~Hdf5Handle() { Reset(); }
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    if (this != &other) {
      Reset();
      id_ = std::exchange(other.id_, H5I_INVALID_HID);
      close_ = other.close_;
    }
    return *this;
  }
  Hdf5Handle(const Hdf5Handle&) = delete;
  Hdf5Handle& operator=(const Hdf5Handle&) = delete;

  hid_t get() const { return id_; }
  bool valid() const { return id_ >= 0; }
  // False where closing failed, which for a file means that it is not whole.
  bool Reset() {
    if (id_ < 0) return true;
    return close_(std::exchange(id_, H5I_INVALID_HID)) >= 0;
  }

 private:
  hid_t id_ = H5I_INVALID_HID;
  Close close_ = nullptr;
};

// Holds the process-wide lock of penstock's use of HDF5 and keeps the library from printing its
// error stack, while it lives. A thread may hold several.
class Hdf5Session {
 public:
  Hdf5Session();
  ~Hdf5Session();
  Hdf5Session(const Hdf5Session&) = delete;
  Hdf5Session& operator=(const Hdf5Session&) = delete;

  // To be called in the child of a fork whose parent held a session: the lock belongs to a thread
  // that the child does not have, and there is nobody to be kept out. From then on the process ends
  // with kOutOfMemoryStatus where the library cannot allocate what a file asks for.
  static void AfterForkInChild();
  static constexpr int kOutOfMemoryStatus = 3;

 private:
  std::unique_lock<std::recursive_mutex> lock_;
  H5E_auto2_t function_ = nullptr;
  void* data_ = nullptr;
};

}  // namespace penstock

#endif  // PENSTOCK_DATASET_HDF5_HANDLE_H_
