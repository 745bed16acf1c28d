#include "reader/numa.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

namespace penstock {

namespace {

std::optional<int> ParseNumber(std::string_view text) {
  int number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

}  // namespace

std::optional<std::vector<int>> ParseProcessorList(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::vector<int> processors;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const size_t dash = part.find('-');
    const auto first = ParseNumber(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : ParseNumber(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= CPU_SETSIZE) return std::nullopt;
    for (int processor = *first; processor <= *last; ++processor) processors.push_back(processor);
  }
  return processors;
}

std::vector<NumaNode> UsableNodes(const cpu_set_t& allowed, const std::filesystem::path& nodes) {
  std::vector<NumaNode> found;
  std::error_code problem;
  std::filesystem::directory_iterator entry(nodes, problem);
  for (; !problem && entry != std::filesystem::directory_iterator(); entry.increment(problem)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with("node")) continue;
    const auto number = ParseNumber(std::string_view(name).substr(4));
    if (!number) continue;
    std::ifstream file(entry->path() / "cpulist");
    std::string text;
    std::getline(file, text);
    auto processors = ParseProcessorList(text);
    if (!processors) continue;
    std::erase_if(*processors, [&allowed](int processor) {
      return !CPU_ISSET(static_cast<size_t>(processor), &allowed);
    });
    if (!processors->empty()) found.push_back({*number, *std::move(processors)});
  }
  std::ranges::sort(found, {}, &NumaNode::number);
  return found;
}

std::vector<size_t> SpreadOverNodes(const std::vector<NumaNode>& nodes, int workers) {
  std::vector<size_t> spread;
  if (nodes.size() < 2) return spread;
  // As many in each turn as there are nodes with a processor left; then from the beginning.
  std::vector<size_t> turns;
  size_t most = 0;
  for (const NumaNode& node : nodes) most = std::max(most, node.processors.size());
  for (size_t turn = 0; turn < most; ++turn) {
    for (size_t node = 0; node < nodes.size(); ++node) {
      if (turn < nodes[node].processors.size()) turns.push_back(node);
    }
  }
  for (int worker = 0; worker < workers; ++worker) {
    spread.push_back(turns[static_cast<size_t>(worker) % turns.size()]);
  }
  return spread;
}

NodeBinding::NodeBinding(const NumaNode& node) {
  cpu_set_t before;
  if (sched_getaffinity(0, sizeof before, &before) != 0) return;
  cpu_set_t wanted;
  CPU_ZERO(&wanted);
  for (const int processor : node.processors) CPU_SET(static_cast<size_t>(processor), &wanted);
  if (sched_setaffinity(0, sizeof wanted, &wanted) == 0) before_ = before;
}

NodeBinding::~NodeBinding() {
  if (before_) sched_setaffinity(0, sizeof *before_, &*before_);
}

}  // namespace penstock
