// libhdf5 trusts what it reads: a damaged attribute can end the process, a damaged link keep it
// busy for ever. What is to be done with a file is therefore first done in a child process, which
// may perish; only what the child came through is done here.

#ifndef PENSTOCK_INGEST_FORMATS_HDF5_REHEARSAL_H_
#define PENSTOCK_INGEST_FORMATS_HDF5_REHEARSAL_H_

#include <filesystem>
#include <functional>
#include <string>

#include "penstock/base/result.h"

namespace penstock::ingest::hdf5 {

// Runs `steps` in a child. kCorrupt where it crashed, took more than 5 s of a processor or asked
// for more than 512 MiB; whether the steps themselves gave an error does not matter. A file of
// which `what` was rehearsed before, with either outcome, is not tried again until it changes.
// Precondition: the caller holds an Hdf5Session; `steps` starts no threads.
Status Rehearse(const std::filesystem::path& path, const std::string& what,
                const std::function<void()>& steps);

}  // namespace penstock::ingest::hdf5

#endif  // PENSTOCK_INGEST_FORMATS_HDF5_REHEARSAL_H_
