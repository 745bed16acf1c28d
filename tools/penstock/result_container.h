// All results of a run in one file: NeXus (HDF5) or Zarr, together with where they come from.

#ifndef PENSTOCK_TOOLS_RESULT_CONTAINER_H_
#define PENSTOCK_TOOLS_RESULT_CONTAINER_H_

#include <filesystem>
#include <string>
#include <vector>

#include "penstock/base/result.h"
#include "penstock/reader/result_array.h"
#include "tools/penstock/provenance.h"

namespace penstock::tools {

struct NamedArray {
  std::string name;
  ResultArray array;
};

// A NeXus file: one NXentry with an NXprocess (program, version, date, and as NXnote the command,
// the parameters and every input with its digest) and per array an NXdata of its name with the
// signal `data`. An existing file is replaced, by one rename.
Status WriteNexusResults(const std::filesystem::path& path, const std::vector<NamedArray>& arrays,
                         const Provenance& provenance);

// A Zarr v3 group with one array per result, each in one chunk, not compressed; `provenance` is an
// attribute of the group. An existing one of penstock's own is replaced; kAlreadyExists for
// anything else at that path.
Status WriteZarrResults(const std::filesystem::path& path, const std::vector<NamedArray>& arrays,
                        const Provenance& provenance);

}  // namespace penstock::tools

#endif  // PENSTOCK_TOOLS_RESULT_CONTAINER_H_
