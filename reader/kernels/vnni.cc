#include "reader/kernels/vnni.h"

#include <hwy/highway.h>

namespace penstock::kernels {

namespace {

bool is_allowed = true;

bool ProcessorHasVnni() {
#if HWY_ARCH_X86 && (defined(__GNUC__) || defined(__clang__))
  return __builtin_cpu_supports("avx512vnni") != 0;
#else
  return false;
#endif
}

bool ProcessorHasVbmi() {
#if HWY_ARCH_X86 && (defined(__GNUC__) || defined(__clang__))
  return __builtin_cpu_supports("avx512vbmi") != 0;
#else
  return false;
#endif
}

}  // namespace

bool HasVnniAndVbmi() {
  static const bool has = ProcessorHasVbmi();
  return has && HasVnni();
}

bool HasVnni() {
  static const bool has = ProcessorHasVnni();
  return has && is_allowed;
}

void AllowVnni(bool allowed) { is_allowed = allowed; }

}  // namespace penstock::kernels
