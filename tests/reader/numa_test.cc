// Nodes out of folders that look like those of machines with several sockets.

#include "reader/numa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class NumaTest : public testing::Test {
 protected:
  NumaTest()
      : root_(std::filesystem::path(testing::TempDir()) / ("numa-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  ~NumaTest() override { std::filesystem::remove_all(root_); }

  void Node(int number, const std::string& list) {
    const auto folder = root_ / ("node" + std::to_string(number));
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "cpulist") << list << "\n";
  }

  static cpu_set_t Allowed(const std::vector<int>& processors) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int processor : processors) CPU_SET(static_cast<size_t>(processor), &set);
    return set;
  }

  std::filesystem::path root_;
};

TEST(ProcessorListTest, TheKernelsNotation) {
  EXPECT_THAT(*ParseProcessorList("0-3,8,10-11\n"), ElementsAre(0, 1, 2, 3, 8, 10, 11));
  EXPECT_THAT(*ParseProcessorList("5"), ElementsAre(5));
  EXPECT_THAT(*ParseProcessorList("\n"), IsEmpty());  // a node of memory alone
  for (const char* const wrong : {"x", "1-", "-1", "3-1", "1,,2", "0-99999999", "1;2"}) {
    EXPECT_FALSE(ParseProcessorList(wrong)) << wrong;
  }
}

TEST_F(NumaTest, NodesWithTheirProcessors) {
  Node(1, "4-7");
  Node(0, "0-3");
  Node(2, "");  // memory without processors
  Node(10, "nonsense");
  std::filesystem::create_directories(root_ / "power");
  std::ofstream(root_ / "online") << "0-2\n";
  const auto nodes = UsableNodes(Allowed({1, 2, 4, 5, 6, 7}), root_);
  ASSERT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes[0].number, 0);
  EXPECT_THAT(nodes[0].processors, ElementsAre(1, 2));
  EXPECT_EQ(nodes[1].number, 1);
  EXPECT_THAT(nodes[1].processors, ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(UsableNodes(Allowed({5}), root_).size(), 1U);
  EXPECT_THAT(UsableNodes(Allowed({1}), root_ / "absent"), IsEmpty());
}

TEST(SpreadTest, WorkersTakeTurnsByTheSizeOfTheNodes) {
  const NumaNode large{.number = 0, .processors = {0, 1, 2}};
  const NumaNode small{.number = 1, .processors = {3}};
  EXPECT_THAT(SpreadOverNodes({large, small}, 6), ElementsAre(0, 1, 0, 0, 0, 1));
  EXPECT_THAT(SpreadOverNodes({small, large}, 2), ElementsAre(0, 1));
  EXPECT_THAT(SpreadOverNodes({large}, 4), IsEmpty());
  EXPECT_THAT(SpreadOverNodes({}, 4), IsEmpty());
}

TEST(NodeBindingTest, BindsAndRestores) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  int first = 0;
  while (!CPU_ISSET(static_cast<size_t>(first), &before)) ++first;
  {
    const NodeBinding binding({.number = 0, .processors = {first}});
    cpu_set_t bound;
    ASSERT_EQ(sched_getaffinity(0, sizeof bound, &bound), 0);
    EXPECT_EQ(CPU_COUNT(&bound), 1);
    EXPECT_TRUE(CPU_ISSET(static_cast<size_t>(first), &bound));
  }
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
  // Processors that are not there: nothing changes.
  const NodeBinding nowhere({.number = 7, .processors = {CPU_SETSIZE - 1}});
  ASSERT_EQ(sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

}  // namespace
}  // namespace penstock
