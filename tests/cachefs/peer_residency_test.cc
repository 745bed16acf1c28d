#include "cachefs/peers/peer_residency.h"

#include <gtest/gtest.h>

#include "tests/cachefs/cache_fixture.h"

namespace penstock::cachefs {

namespace {

class PeerResidencyTest : public CacheFixture {
 protected:
  PeerResidencyTest() {
    view_.path = "scan";
    for (int64_t block = 0; block < 3; ++block) {
      view_.blocks.push_back(AddBlock(block, 2 * kExtentBytes));
    }
  }
  DatasetView view_;
};

TEST_F(PeerResidencyTest, ComesBackAsItWas) {
  Open();
  ASSERT_TRUE(WaitComplete(view_.blocks[1]).ok());
  const auto details = DecodeResidency(EncodeResidency(*cache_, view_), view_);
  ASSERT_TRUE(details.ok());
  ASSERT_EQ(details->size(), 3);
  EXPECT_EQ((*details)[0].residency, Residency::kAbsent);
  EXPECT_EQ((*details)[1].residency, Residency::kComplete);
  EXPECT_EQ((*details)[1].extents_present, 2);
  EXPECT_EQ((*details)[1].extents, 2);
}

TEST_F(PeerResidencyTest, RefusesWhatIsNoAnswer) {
  for (const char* const text :
       {"", "x", "[]", "{}", R"({"blocks":1})", R"({"blocks":[[0,0],[0,0]]})",
        R"({"blocks":[[0,0],[0,0],[3,0]]})", R"({"blocks":[[0,0],[0,0],[-1,0]]})",
        R"({"blocks":[[0,0],[0,0],[0]]})", R"({"blocks":[[0,0],[0,0],["0",0]]})"}) {
    EXPECT_FALSE(DecodeResidency(text, view_).ok()) << text;
  }
  const auto partial = DecodeResidency(R"({"blocks":[[0,0],[1,0],[2,1]]})", view_);
  ASSERT_TRUE(partial.ok());
  EXPECT_EQ((*partial)[1].residency, Residency::kPartial);
}

}  // namespace

}  // namespace penstock::cachefs
