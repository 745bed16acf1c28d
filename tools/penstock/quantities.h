// Numbers as people write them on a command line and read them in an output.

#ifndef PENSTOCK_TOOLS_QUANTITIES_H_
#define PENSTOCK_TOOLS_QUANTITIES_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "penstock/base/result.h"

namespace penstock::tools {

std::string FormatBytes(uint64_t bytes);                 // "1.50 GiB"
std::string FormatRate(uint64_t bytes, double seconds);  // "1.50 GiB/s"
std::string FormatDuration(double seconds);              // "0.3 s", "4 min 10 s", "2 h 05 min"

// "268435456", "256M", "256MiB", "1G": powers of 1024. kInvalidArgument otherwise.
Result<uint64_t> ParseBytes(std::string_view text);

// "90s", "30m", "12h", "7d", "4w"; a bare number is seconds. kInvalidArgument otherwise.
Result<std::chrono::seconds> ParseDuration(std::string_view text);

// "0-15" or "7": first and last, both included. kInvalidArgument otherwise.
Result<std::pair<int64_t, int64_t>> ParseRange(std::string_view text);

// "256,256", slow axis first; both at least 1. kInvalidArgument otherwise.
Result<std::pair<int64_t, int64_t>> ParsePair(std::string_view text);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_QUANTITIES_H_
