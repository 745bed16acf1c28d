#include "penstock/base/error.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "penstock/base/result.h"

namespace penstock {
namespace {

TEST(Error, NamesFilePlaceExpectationFindingAndAdvice) {
  const Error error = Error::Corrupt("the frame header is not a Merlin header")
                          .In("/data/scan.mib")
                          .AtOffset(131456)
                          .AtFrame(1)
                          .Expected("'MQ1,'")
                          .Found("00 00 00 00")
                          .Advice("check whether the file was copied completely")
                          .Context("reading the series")
                          .Context("ingesting scan");
  EXPECT_EQ(error.ToString(),
            "ingesting scan: reading the series: /data/scan.mib: offset 131456, frame 1: the frame "
            "header is not a Merlin header; expected 'MQ1,', found 00 00 00 00. check whether the "
            "file was copied completely");
  EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
}

TEST(Error, KindFollowsFromErrno) {
  EXPECT_EQ(Error::FromErrno(ENOENT, "x").kind(), ErrorKind::kNotFound);
  EXPECT_EQ(Error::FromErrno(ENOSPC, "x").kind(), ErrorKind::kNoSpace);
  EXPECT_EQ(Error::FromErrno(EIO, "x").kind(), ErrorKind::kIo);
  EXPECT_EQ(Error::FromErrno(EIO, "x").system_errno(), EIO);
}

Result<int> Half(int number) {
  if (number % 2 != 0) return Error::InvalidArgument("odd");
  return number / 2;
}

Result<int> Quarter(int number) {
  PENSTOCK_ASSIGN_OR_RETURN(const int half, Half(number));
  return Half(half);
}

TEST(Result, MacrosPassValuesAndErrorsOn) {
  EXPECT_EQ(*Quarter(12), 3);
  EXPECT_EQ(Quarter(6).error().what(), "odd");
  EXPECT_EQ(Quarter(5).error().what(), "odd");
}

}  // namespace
}  // namespace penstock
