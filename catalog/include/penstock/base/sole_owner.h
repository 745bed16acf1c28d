// Whether a shared object may be written to again.

#ifndef PENSTOCK_BASE_SOLE_OWNER_H_
#define PENSTOCK_BASE_SOLE_OWNER_H_

#include <atomic>
#include <memory>

namespace penstock {

// True where nobody else holds it; what the others did with it is over then, and comes before what
// the caller does. Precondition: nobody can get it meanwhile but from the caller (use_count alone
// says neither).
template <typename T>
bool IsSoleOwner(const std::shared_ptr<T>& object) {
  if (object.use_count() != 1) return false;
#if defined(__SANITIZE_THREAD__)
  // The sanitizer does not know fences; it sees the counter being changed.
  std::shared_ptr<T>(object).reset();
#else
  std::atomic_thread_fence(std::memory_order_acquire);
#endif
  return true;
}

}  // namespace penstock

#endif  // PENSTOCK_BASE_SOLE_OWNER_H_
