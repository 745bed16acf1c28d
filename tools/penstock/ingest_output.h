// What `ingest` and `info` print of sources, plans and results: for people and as JSON.

#ifndef PENSTOCK_TOOLS_INGEST_OUTPUT_H_
#define PENSTOCK_TOOLS_INGEST_OUTPUT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "penstock/ingest/ingest.h"

namespace penstock::tools {

using OrderedJson = nlohmann::ordered_json;

std::string AnomalyText(const Anomaly& anomaly);
OrderedJson AnomaliesToJson(const std::vector<Anomaly>& anomalies);

std::string SourceText(const ingest::SourceDescription& source);
OrderedJson SourceToJson(const ingest::SourceDescription& source);

std::string PlanText(const ingest::IngestPlan& plan, const ingest::RateMeasurement& rate);
OrderedJson PlanToJson(const ingest::IngestPlan& plan, const ingest::RateMeasurement& rate);

std::string ResultText(const ingest::IngestResult& result);
OrderedJson ResultToJson(const ingest::IngestResult& result);

OrderedJson ErrorToJson(const Error& error);

// One line on standard output; text that is not UTF-8 is replaced, never an exception.
void PrintJson(const OrderedJson& json);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_INGEST_OUTPUT_H_
