// The sidecar's two parsers agree, whatever they are given.

#include "catalog/dataset/sidecar_text.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "catalog/dataset/json_text.h"

namespace penstock {
namespace {

// What a SidecarText says is what the whole tree says.
void ExpectSame(const std::string& text) {
  const auto whole = ParseJson(text, "nexus.json");
  const auto sidecar = SidecarText::Parse(text, "nexus.json");
  ASSERT_EQ(sidecar.ok(), whole.ok()) << text;
  if (!whole.ok()) {
    EXPECT_EQ(sidecar.error().ToString(), whole.error().ToString());
    return;
  }
  EXPECT_EQ(sidecar->tree(), *whole) << text;
  const bool has_collection =
      whole->is_object() && whole->contains("entry1") && (*whole)["entry1"].is_object() &&
      (*whole)["entry1"].contains("penstock") && (*whole)["entry1"]["penstock"].is_object();
  ASSERT_EQ(sidecar->penstock().has_value(), has_collection) << text;
  if (!has_collection) return;
  const Json& expected = (*whole)["entry1"]["penstock"];
  EXPECT_EQ(sidecar->penstock()->dump(), expected.dump());
  for (const auto& [key, value] : expected.items()) {
    EXPECT_EQ((*sidecar->penstock())[key].is_number_integer(), value.is_number_integer())
        << key << " of " << text;
  }
}

std::string WithCollection(const std::string& members) {
  return R"({"entry1": {"title": "x", "penstock": {)" + members + "}}}";
}

TEST(SidecarTextTest, TakesTheCollectionAsItStands) {
  const std::string text = WithCollection(
      R"("version": 1, "below": -7, "float": 1.50, "list": ["a", {"b": [true, null]}], "text": "ä")");
  ExpectSame(text);
  const auto sidecar = SidecarText::Parse(text, "nexus.json");
  ASSERT_TRUE(sidecar.ok());
  EXPECT_EQ((*sidecar->penstock())["version"], 1);
  EXPECT_EQ((*sidecar->penstock())["list"][1]["b"][0], true);
  EXPECT_EQ(sidecar->tree()["entry1"]["title"], "x");
}

TEST(SidecarTextTest, BothParsersAgree) {
  for (const char* const text :
       {"", " ", "null", "5", "[]", "{}", "{", "}", "[}", "{]", "{\"entry1\": 5}",
        "{\"entry1\": {}}", "{\"entry1\": {\"penstock\": 5}}", "{\"entry1\": {\"penstock\": {}}} x",
        "\xEF\xBB\xBF{}", "\xFF", "{\"a\": \"\xC3\"}"}) {
    ExpectSame(text);
  }
  for (const char* const members : {"",
                                    R"("a": 1, "a": 2)",
                                    R"("a": 18446744073709551615)",
                                    R"("a": 18446744073709551616)",
                                    R"("a": -9223372036854775808)",
                                    R"("a": -9223372036854775809)",
                                    R"("a": 9223372036854775808)",
                                    R"("a": -0)",
                                    R"("a": -0.0)",
                                    R"("a": 1e308)",
                                    R"("a": 1e309)",
                                    R"("a": 1E-400)",
                                    R"("a": 01)",
                                    R"("a": 1.)",
                                    R"("a": .5)",
                                    R"("a": +1)",
                                    R"("a": NaN)",
                                    R"("a": 0.1)",
                                    R"("a": 2.2250738585072011e-308)",
                                    R"("a": "\u00e4\u0000\n")",
                                    R"("a": "\ud83d\ude00")",
                                    R"("a": "\ud83d")",
                                    R"("a": "\ude00")",
                                    R"("a": "\udE00\uD83d")",
                                    R"("a": "\x")",
                                    R"("a": ')",
                                    "\"a\": \"\n\"",
                                    R"("a": tru)",
                                    R"("a" 1)",
                                    R"("a": 1,)",
                                    R"(, "a": 1)",
                                    R"("\u0061": 1, "a": 2)",
                                    R"("a": "{[:,]}\"\\")"}) {
    ExpectSame(WithCollection(members));
  }
  ExpectSame(R"({"entry1": {"penstock": {"a": 1}}, "entry1": {"penstock": {"b": 2}}})");
  ExpectSame(R"({"entry1": {"penstock": {"a": 1}, "penstock": 3}})");
}

TEST(SidecarTextTest, BothParsersAgreeOnDamagedText) {
  const std::string good = WithCollection(
      R"("layout_version": 1, "scan_shape": [5, 6], "block_file": ["c/0", "c/1"], "t": "\u00e4\"x",)"
      R"( "n": -1.25e-3, "deep": {"a": [{}, [], {"b": null}]}, "state": "sealed")");
  std::mt19937 random(20261122);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same every time
  const std::string bytes = "{}[]\",:\\0159-+.eEutrnf \n\x01\x80\xC3\xFF";
  for (int round = 0; round < 20000; ++round) {
    std::string text = good;
    for (unsigned i = 0; i <= random() % 3; ++i) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = bytes[random() % bytes.size()];
          break;
        case 1:
          text.erase(at, 1 + random() % 8);
          break;
        default:
          text.insert(at, 1, bytes[random() % bytes.size()]);
      }
    }
    ExpectSame(text);
    if (HasFatalFailure() || HasNonfatalFailure()) return;
  }
}

TEST(SidecarTextTest, LimitsHoldForBoth) {
  std::string deep;
  for (int i = 0; i < 62; ++i) deep += '[';
  std::string closing(deep.size(), ']');
  ExpectSame(WithCollection("\"a\": " + deep.substr(1) + closing.substr(1)));
  EXPECT_TRUE(
      SidecarText::Parse(WithCollection("\"a\": " + deep.substr(1) + closing.substr(1)), "").ok());
  EXPECT_FALSE(SidecarText::Parse(WithCollection("\"a\": " + deep + closing), "").ok());
  std::string members;
  for (int i = 0; i < 1023; ++i) members += "\"" + std::to_string(i) + "\": 0, ";
  EXPECT_TRUE(SidecarText::Parse(WithCollection(members + "\"x\": \":\""), "").ok());
  EXPECT_FALSE(SidecarText::Parse(WithCollection(members + "\"x\": 0, \"y\": 0"), "").ok());
}

}  // namespace
}  // namespace penstock
