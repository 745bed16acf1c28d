#include "cachefs/upstream/http_listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace penstock::cachefs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> Names(const std::vector<DirectoryEntry>& entries) {
  std::vector<std::string> names;
  for (const auto& entry : entries) {
    names.push_back(entry.name + (S_ISDIR(entry.type) ? "/" : S_ISREG(entry.type) ? "" : "?"));
  }
  return names;
}

TEST(JsonListing, IsThatOfNginx) {
  const auto listed = ParseJsonListing(
      R"([{ "name":"sub", "type":"directory", "mtime":"Wed, 01 Jan 2025 00:00:00 GMT" },
          { "name":"a \"b\"", "type":"file", "mtime":"Wed, 01 Jan 2025 00:00:00 GMT", "size":3 },
          { "name":"socket", "type":"other" }, {"name":".."}, {"name":"a/b", "type":"file"}])");
  ASSERT_TRUE(listed.ok());
  EXPECT_THAT(Names(listed->entries), ElementsAre("sub/", "a \"b\"", "socket?"));
  ASSERT_EQ(listed->attributes.size(), 3U);
  EXPECT_EQ(listed->attributes[0].size, std::nullopt);
  EXPECT_EQ(listed->attributes[1].size, 3U);
  EXPECT_EQ(listed->attributes[1].modified, "Wed, 01 Jan 2025 00:00:00 GMT");
  EXPECT_EQ(listed->attributes[2].modified, "");
}

TEST(JsonListing, RefusesWhatIsNone) {
  for (const char* wrong :
       {"", "[", "{}", "\"x\"", "[1]", "[{}]", R"([{"name":1}])", R"([{"name":"cut off","ty)"}) {
    EXPECT_FALSE(ParseJsonListing(wrong).ok()) << wrong;
  }
  const auto empty = ParseJsonListing("[\r\n]");
  ASSERT_TRUE(empty.ok());
  EXPECT_THAT(empty->entries, IsEmpty());
}

TEST(HtmlListing, TakesWhatIsDirectlyBelow) {
  EXPECT_THAT(
      Names(ParseHtmlListing(
          R"(<html><!-- <a href="comment">x</a> --><h1>Index of /store/scan/</h1><pre><a href="../">../</a>
             <a href="data.zarr/">data.zarr/</a>  01-Jan-2025  -
             <a href="nexus.json">nexus.json</a>
             <A class="x>y" HREF='with%20space'>w</A> <a href=plain>p</a>
             <a href="a&amp;b&#39;">a</a> <a href="per%25cent">p</a> <a href="./dot">d</a>
             <a href="/store/scan/absolute">a</a> <a href="nexus.json">again</a></pre></html>)",
          "/store/scan/")),
      ElementsAre("data.zarr/", "nexus.json", "with space", "plain", "a&b'", "per%cent", "dot",
                  "absolute"));
}

TEST(HtmlListing, LeavesOutEverythingElse) {
  EXPECT_THAT(ParseHtmlListing(
                  R"(<a href="?C=N;O=D">Name</a> <a href="/">Root</a> <a href="/elsewhere/x">x</a>
             <a href="http://example.org/x">x</a> <a href="mailto:a@b">m</a> <a href="#top">t</a>
             <a href="a/b">below</a> <a href="..">up</a> <a href="a%2Fb">s</a> <a href="%zz">z</a>
             <a href="">e</a> <a>none</a> <link href="style.css"> <abbr href="x">y</abbr> <a href=")",
                  "/store/"),
              IsEmpty());
}

}  // namespace
}  // namespace penstock::cachefs
