// Finding the datasets of a store by looking into its directories.

#ifndef PENSTOCK_CATALOG_INDEX_TREE_WALK_H_
#define PENSTOCK_CATALOG_INDEX_TREE_WALK_H_

#include <functional>
#include <stop_token>
#include <string>

#include "catalog/index/store_folder.h"
#include "penstock/base/result.h"
#include "penstock/catalog/catalog.h"

namespace penstock::catalog {

// Calls visit(path) for every directory below the store that has a nexus.json. A directory for
// which it returns true is a dataset and not looked into. Hidden directories and symbolic links are
// not followed. Fills the counts and unreadable_directories of `report`. kCancelled on stop.
// Memory: one name per directory that is still to be looked into.
Status WalkDatasets(const StoreFolder& store,
                    const std::function<Result<bool>(const std::string& path)>& visit,
                    RebuildReport& report, const std::stop_token& stop);

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_INDEX_TREE_WALK_H_
