// Tests with the name of a format as their parameter, for each format.

#ifndef PENSTOCK_TESTS_INGEST_EACH_FORMAT_H_
#define PENSTOCK_TESTS_INGEST_EACH_FORMAT_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "penstock/ingest/registry.h"

namespace penstock::ingest {

inline std::vector<std::string> FormatNames() {
  std::vector<std::string> names;
  for (const SourceFormat* format : AllFormats()) names.emplace_back(format->name());
  return names;
}

// What GoogleTest calls the instance.
inline std::string FormatTestName(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '-', '_');
  return name;
}

}  // namespace penstock::ingest

#endif  // PENSTOCK_TESTS_INGEST_EACH_FORMAT_H_
