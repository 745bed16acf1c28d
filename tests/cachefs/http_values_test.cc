#include "cachefs/upstream/http_values.h"

#include <gtest/gtest.h>

#include <chrono>

#include "cachefs/upstream/retry_pause.h"

namespace penstock::cachefs {
namespace {

TEST(PercentEncoding, KeepsOnlyWhatIsUnreserved) {
  EXPECT_EQ(PercentEncode("a-Z_0.9~", false), "a-Z_0.9~");
  EXPECT_EQ(PercentEncode("a b/c", true), "a%20b/c");
  EXPECT_EQ(PercentEncode("a b/c", false), "a%20b%2Fc");
  EXPECT_EQ(PercentEncode("%41+\xc3\xa9", true), "%2541%2B%C3%A9");
}

TEST(PercentEncoding, IsUndone) {
  EXPECT_EQ(PercentDecode("%2541%2b%C3%A9 x"), "%41+\xc3\xa9 x");
  for (const char* wrong : {"%", "%4", "%4g", "a%", "%00"}) {
    EXPECT_EQ(PercentDecode(wrong), std::nullopt) << wrong;
  }
}

TEST(ContentRange, NamesThePartAndTheWhole) {
  const auto range = ParseContentRange("bytes 10-19/100");
  ASSERT_TRUE(range);
  EXPECT_TRUE(range->has_range);
  EXPECT_EQ(range->first, 10U);
  EXPECT_EQ(range->last, 19U);
  EXPECT_EQ(range->total, 100U);
  const auto none = ParseContentRange("bytes */100");
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->has_range);
  EXPECT_EQ(none->total, 100U);
}

TEST(ContentRange, RefusesWhatContradictsItself) {
  for (const char* wrong : {"", "bytes", "bytes 10-19", "bytes 10-19/*", "bytes 19-10/100",
                            "bytes 10-100/100", "bytes -1-5/100", "octets 1-2/3", "bytes 1-2/3x",
                            "bytes 1-/3", "bytes 1-2/ 3", "bytes 1-2/99999999999999999999"}) {
    EXPECT_FALSE(ParseContentRange(wrong)) << wrong;
  }
}

TEST(Decimal, IsDigitsOnly) {
  EXPECT_EQ(ParseDecimal("0"), 0U);
  EXPECT_EQ(ParseDecimal("9223372036854775807"), 9223372036854775807U);
  for (const char* wrong : {"", "-1", "-0", "+1", "1 ", "0x1", "9223372036854775808"}) {
    EXPECT_FALSE(ParseDecimal(wrong)) << wrong;
  }
}

TEST(HttpDate, TakesBothSpellings) {
  EXPECT_EQ(ParseHttpDate("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
  EXPECT_EQ(ParseHttpDate("1994-11-06T08:49:37.000Z"), 784111777);
  EXPECT_EQ(ParseHttpDate(""), std::nullopt);
  EXPECT_EQ(ParseHttpDate("yesterday"), std::nullopt);
}

TEST(RetryAfter, IsSecondsOrADate) {
  using std::chrono::seconds;
  EXPECT_EQ(ParseRetryAfter("7", 0), seconds(7));
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:49:37 GMT", 784111770), seconds(7));
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:49:37 GMT", 784111800), seconds(0));
  EXPECT_EQ(ParseRetryAfter("999999999999", 0), seconds(86'400));
  EXPECT_EQ(ParseRetryAfter("", 0), std::nullopt);
  EXPECT_EQ(ParseRetryAfter("soon", 0), std::nullopt);
}

TEST(Etag, StrongOnesAreQuoted) {
  EXPECT_TRUE(IsStrongEtag("\"abc\""));
  EXPECT_FALSE(IsStrongEtag("W/\"abc\""));
  EXPECT_FALSE(IsStrongEtag("abc"));
  EXPECT_FALSE(IsStrongEtag("\""));
  EXPECT_FALSE(IsStrongEtag(""));
}

TEST(RetryPause, DoublesUpToItsLimit) {
  using std::chrono::milliseconds;
  RetryPause pause(milliseconds(100), milliseconds(500));
  for (const int longest : {100, 200, 400, 500, 500}) {
    const auto next = pause.Next();
    EXPECT_GE(next, milliseconds(longest / 2));
    EXPECT_LE(next, milliseconds(longest));
  }
}

}  // namespace
}  // namespace penstock::cachefs
