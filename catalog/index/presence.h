// Whether an indexed dataset is still the one that was indexed.

#ifndef PENSTOCK_CATALOG_INDEX_PRESENCE_H_
#define PENSTOCK_CATALOG_INDEX_PRESENCE_H_

#include <vector>

#include "catalog/index/store_folder.h"
#include "penstock/catalog/catalog.h"

namespace penstock::catalog {

// One stat per entry, several at a time: on a network file system each is a round trip. A sidecar
// with another size or time is hashed before it counts as changed (a copy or a touch).
void CheckPresence(const StoreFolder& store, std::vector<ListedEntry>& entries);

}  // namespace penstock::catalog

#endif  // PENSTOCK_CATALOG_INDEX_PRESENCE_H_
