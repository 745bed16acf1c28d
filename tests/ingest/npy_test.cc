#include "penstock/base/npy.h"

#include <gmock/gmock.h>

#include "penstock/ingest/registry.h"
#include "tests/ingest/temporary_folder.h"

namespace penstock::ingest {
namespace {

using ::testing::HasSubstr;

// A version 1.0 file as numpy.save writes it.
std::string Npy(const std::string& descr, bool fortran, const std::string& shape,
                const std::string& elements) {
  std::string header = "{'descr': '" + descr +
                       "', 'fortran_order': " + (fortran ? "True" : "False") +
                       ", 'shape': " + shape + ", }";
  header.resize(118 - 1, ' ');
  header += '\n';
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + elements;
}

TEST(Npy, FourAxesStateTheScanShape) {
  const TemporaryFolder folder;
  const auto path = folder.Write("x.npy", Npy("|u1", false, "(2, 3, 1, 2)", "abcdefghijkl"));
  const auto source = OpenSource(path, "", {});
  ASSERT_TRUE(source.ok()) << source.error().ToString();
  const SourceDescription& description = (*source)->description();
  EXPECT_EQ(description.format, "npy");
  EXPECT_EQ(description.frame_count, 6);
  EXPECT_EQ(description.signal, (SignalShape{1, 2}));
  ASSERT_EQ(description.scan_shapes.size(), 1U);
  EXPECT_EQ(description.scan_shapes.front().shape, (ScanShape{2, 3, false}));
  EXPECT_TRUE(description.anomalies.empty());
}

TEST(Npy, TwoAndThreeAxesAreSeries) {
  const TemporaryFolder folder;
  const auto image = folder.Write("image.npy", Npy("|u1", false, "(2, 3)", "abcdef"));
  const auto stack = folder.Write("stack.npy", Npy("|u1", false, "(3, 1, 2)", "abcdef"));
  EXPECT_EQ((*OpenSource(image, "", {}))->description().frame_count, 1);
  EXPECT_EQ((*OpenSource(stack, "", {}))->description().frame_count, 3);
  EXPECT_TRUE((*OpenSource(stack, "", {}))->description().scan_shapes.empty());
}

TEST(Npy, FortranOrderIsRefusedWithTheWayOut) {
  const TemporaryFolder folder;
  const auto path = folder.Write("x.npy", Npy("|u1", true, "(2, 1, 2)", "abcd"));
  const auto source = OpenSource(path, "", {});
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.error().kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(source.error().ToString(), HasSubstr("Fortran order"));
  EXPECT_THAT(source.error().advice(), HasSubstr("ascontiguousarray"));
}

TEST(Npy, TheSizeOfTheFileDecidesOverTheHeader) {
  const TemporaryFolder folder;
  const auto path = folder.Write("x.npy", Npy("|u1", false, "(3, 1, 2)", "abcde"));
  const auto source = OpenSource(path, "", {});
  ASSERT_TRUE(source.ok());
  EXPECT_EQ((*source)->description().frame_count, 2);
  ASSERT_EQ((*source)->description().anomalies.size(), 1U);
  EXPECT_EQ((*source)->description().anomalies.front().kind, AnomalyKind::kTruncated);
  EXPECT_EQ((*source)->description().anomalies.front().message,
            "shape (3, 1, 2) needs 6 bytes of elements, found 5");
  const auto empty = folder.Write("y.npy", Npy("|u1", false, "(3, 1, 2)", "a"));
  EXPECT_EQ(OpenSource(empty, "", {}).error().kind(), ErrorKind::kCorrupt);
}

TEST(Npy, RefusesOtherArraysAndHostileShapes) {
  const TemporaryFolder folder;
  const auto kind = [&folder](const std::string& descr, const std::string& shape) {
    const auto path = folder.Write("x.npy", Npy(descr, false, shape, "abcdefgh"));
    const auto source = OpenSource(path, "", {});
    return source.ok() ? ErrorKind::kInternal : source.error().kind();
  };
  EXPECT_EQ(kind("|u1", "(8,)"), ErrorKind::kUnsupported);
  EXPECT_EQ(kind("|u1", "()"), ErrorKind::kUnsupported);
  EXPECT_EQ(kind("|u1", "(1, 1, 2, 2, 2)"), ErrorKind::kUnsupported);
  EXPECT_EQ(kind("|u1", "(0, 2, 2)"), ErrorKind::kCorrupt);
  EXPECT_EQ(kind("|O", "(2, 2, 2)"), ErrorKind::kUnsupported);
  EXPECT_EQ(kind("<f2", "(1, 2, 2)"), ErrorKind::kUnsupported);
  EXPECT_NE(kind("|u1", "(4611686018427387904, 4611686018427387904)"), ErrorKind::kInternal);
  EXPECT_NE(kind("|u1", "(-1, 2, 2)"), ErrorKind::kInternal);
}

TEST(Npy, ContradictingOptionsAreNamed) {
  const TemporaryFolder folder;
  const auto path = folder.Write("x.npy", Npy("<u2", false, "(1, 2, 2)", "abcdefgh"));
  OpenOptions options;
  options.signal_shape = {4, 1};
  EXPECT_EQ(OpenSource(path, "", options).error().kind(), ErrorKind::kContradiction);
  options.signal_shape = {2, 2};
  EXPECT_TRUE(OpenSource(path, "", options).ok());
  options.element_type = ElementType::kInt16;
  EXPECT_EQ(OpenSource(path, "", options).error().kind(), ErrorKind::kContradiction);
}

}  // namespace
}  // namespace penstock::ingest
