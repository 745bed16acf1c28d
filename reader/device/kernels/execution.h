// How a kernel is written once for devices and for the processor.
//
// A kernel is a structure with its arguments, compiled by nvcc and by any C++ compiler:
//
//   struct Example {
//     static constexpr int kThreads = 128;
//     struct Shared { float values[kThreads]; };  // of a block
//     struct Registers { float sum = 0; };        // of a thread
//     GridShape grid() const;
//     template <typename Execution>
//     PENSTOCK_ON_DEVICE void operator()(Execution& execution) const {
//       execution.EachThread([&](int thread, Registers& mine) { ... execution.shared() ... });
//       execution.EachThread(...);
//     }
//   };
//
// EachThread runs its body for all threads of the block; whatever one body writes to shared memory
// the next one may read. What stands around it is the same for all threads.

#ifndef PENSTOCK_READER_DEVICE_KERNELS_EXECUTION_H_
#define PENSTOCK_READER_DEVICE_KERNELS_EXECUTION_H_

#include <cstdint>

#ifdef __CUDACC__
#define PENSTOCK_ON_DEVICE __device__ __forceinline__
#define PENSTOCK_ON_BOTH __host__ __device__ __forceinline__
#define PENSTOCK_UNROLL _Pragma("unroll")
#else
#define PENSTOCK_ON_DEVICE inline
#define PENSTOCK_ON_BOTH inline
#define PENSTOCK_UNROLL
#endif

namespace penstock::device_kernels {

struct GridShape {
  int64_t x = 1;
  int64_t y = 1;
  int64_t z = 1;
};

struct Nothing {};

PENSTOCK_ON_BOTH constexpr int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace penstock::device_kernels

#endif  // PENSTOCK_READER_DEVICE_KERNELS_EXECUTION_H_
