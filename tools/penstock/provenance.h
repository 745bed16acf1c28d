// Where results come from: what was asked for, by which program, of which bytes.

#ifndef PENSTOCK_TOOLS_PROVENANCE_H_
#define PENSTOCK_TOOLS_PROVENANCE_H_

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/dataset/dataset.h"
#include "penstock/ingest/frame_source.h"

namespace penstock::tools {

struct Provenance {
  struct Input {
    std::string role;  // "dataset", "source", "mask", "region", ...
    std::string path;
    std::string checksum;   // hexadecimal; "" where none is known
    std::string algorithm;  // "XXH3-128", "SHA-256", ...
  };

  std::string program = "penstock";
  std::string version;
  std::string date;  // ISO 8601, UTC
  std::string command;
  nlohmann::ordered_json parameters;  // an object
  std::vector<Input> inputs;

  // {"program","version","date","command","parameters","inputs":[{...}]}
  nlohmann::ordered_json ToJson() const;
};

// Of a result that is computed now from this dataset: the dataset itself, by the digest of its
// nexus.json, which holds the checksum of every block; its vendor files, as far as their digests
// are known.
Provenance ProvenanceOf(const Dataset& dataset, const std::vector<std::string>& command_line);

// The same of the files of an acquisition that are read without an ingest; they are not hashed.
Provenance ProvenanceOf(const ingest::SourceDescription& source,
                        const std::vector<std::string>& command_line);

// Adds a file that the options name, with its digest.
Status AddInput(Provenance& provenance, const std::string& role, const std::filesystem::path& file);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_PROVENANCE_H_
